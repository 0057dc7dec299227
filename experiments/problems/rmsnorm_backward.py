"""Backward pass of RMSNorm: x, dy [rows, columns], weight [columns] to dx and dweight.

y = x / sqrt(mean(x^2) + eps) * weight, eps 1e-6. KernelBench format.
"""

import torch
from torch import nn

EPS = 1e-6
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


class Model(nn.Module):
    """Autograd of the formula, computed in float32 (float64 inputs stay float64)."""

    def __init__(self, eps: float = EPS):
        super().__init__()
        self.eps = eps

    def forward(
        self, x: torch.Tensor, dy: torch.Tensor, weight: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        wide = torch.promote_types(x.dtype, torch.float32)
        with torch.enable_grad():
            x_wide = x.detach().to(wide).requires_grad_()
            weight_wide = weight.detach().to(wide).requires_grad_()
            scale = torch.rsqrt(x_wide.square().mean(-1, keepdim=True) + self.eps)
            y = x_wide * scale * weight_wide
            dx, dweight = torch.autograd.grad(y, (x_wide, weight_wide), dy.to(wide))
        return dx.to(x.dtype), dweight.to(weight.dtype)


class Formula(Model):
    """The derivative written out in tensor operations."""

    def forward(
        self, x: torch.Tensor, dy: torch.Tensor, weight: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        wide = torch.promote_types(x.dtype, torch.float32)
        dy_wide = dy.to(wide)
        x_wide = x.to(wide)
        scale = torch.rsqrt(x_wide.square().mean(-1, keepdim=True) + self.eps)
        unit = x_wide * scale
        dunit = dy_wide * weight.to(wide)
        dx = scale * (dunit - unit * (dunit * unit).mean(-1, keepdim=True))
        return dx.to(x.dtype), (dy_wide * unit).sum(0).to(weight.dtype)


def get_inputs(
    rows: int = 8192, columns: int = 4096, dtype: str = "bfloat16"
) -> list[torch.Tensor]:
    x = torch.randn(rows, columns)
    dy = torch.randn(rows, columns)
    weight = 1.0 + 0.1 * torch.randn(columns)
    return [tensor.to(DTYPES[dtype]) for tensor in (x, dy, weight)]


def get_init_inputs() -> list[float]:
    return [EPS]


def get_cost(inputs: list[torch.Tensor]) -> dict[str, float]:
    """Bytes moved at least and floating-point operations of the formula."""
    x, _, weight = inputs
    elements = 3 * x.numel() + 2 * weight.numel()
    return {"bytes": float(elements * x.element_size()), "flops": 11.0 * x.numel()}


WORKLOADS = {
    "fp32_2048x1024": {"rows": 2048, "columns": 1024, "dtype": "float32"},
    "fp32_512x512": {"rows": 512, "columns": 512, "dtype": "float32"},
    **{
        f"bf16_{rows}x{columns}": {"rows": rows, "columns": columns, "dtype": "bfloat16"}
        for rows, columns in ((8192, 4096), (32768, 1024), (4096, 8192))
    },
}
BASELINES = {"formula": Formula}
