"""The optimised factorisation machine of WuKong (arXiv 2403.02545): out = X (X^T Y).

x [batch, fields, width], y [batch, fields, columns] to out [batch, fields, columns]; the shapes are
those of the KernelEvolve paper (arXiv 2512.23236). KernelBench format.
"""

import torch
from torch import nn

# fields, width, columns
SHAPES = {"n24": (24, 224, 2198), "n40": (40, 224, 448), "n48": (48, 224, 448)}
DTYPES = {"float16": torch.float16, "float32": torch.float32}


class Model(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.bmm(x, torch.bmm(x.transpose(1, 2), y))


class Reassociated(Model):
    """(X X^T) Y: fewer operations wherever there are fewer fields than twice the width."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.bmm(torch.bmm(x, x.transpose(1, 2)), y)


def get_inputs(
    batch: int = 1024,
    fields: int = 24,
    width: int = 224,
    columns: int = 2198,
    dtype: str = "float16",
) -> list[torch.Tensor]:
    x = torch.randn(batch, fields, width)
    y = torch.randn(batch, fields, columns)
    return [tensor.to(DTYPES[dtype]) for tensor in (x, y)]


def get_init_inputs() -> list[int]:
    return []


def get_cost(inputs: list[torch.Tensor]) -> dict[str, float]:
    """Bytes moved at least and floating-point operations of the cheaper association."""
    x, y = inputs
    batch, fields, width = x.shape
    columns = y.shape[2]
    elements = x.numel() + 2 * y.numel()
    through_width = 4.0 * batch * fields * width * columns
    through_fields = 2.0 * batch * fields * fields * (width + columns)
    return {
        "bytes": float(elements * x.element_size()),
        "flops": min(through_width, through_fields),
    }


WORKLOADS = {
    **{
        f"fp16_{name}": {
            "batch": 1024,
            "fields": fields,
            "width": width,
            "columns": columns,
            "dtype": "float16",
        }
        for name, (fields, width, columns) in SHAPES.items()
    },
    "fp32_small": {"batch": 16, "fields": 24, "width": 64, "columns": 128, "dtype": "float32"},
}
BASELINES = {"reassociated": Reassociated}
