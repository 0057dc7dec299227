"""The production conv1d of the KernelEvolve paper (arXiv 2512.23236): 96 to 96 channels, 3 taps.

x [batch, 96, 200], weight [96, 96, 3], bias [96], stride 1, padding 1. KernelBench format.
"""

import torch
import torch.nn.functional as F
from torch import nn

CHANNELS = 96
LENGTH = 200
TAPS = 3
BATCHES = (64, 128, 256, 512, 1024, 2048)
DTYPES = {"float16": torch.float16, "float32": torch.float32}


class Model(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, taps: int):
        super().__init__()
        weight = torch.randn(out_channels, in_channels, taps) * 0.047870 - 0.000024
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.randn(out_channels) * 0.033662 - 0.003198)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv1d(x, self.weight, self.bias, stride=1, padding=self.weight.shape[2] // 2)


class Conv2d(Model):
    """The same as a two-dimensional convolution of height 1 in the channels-last layout."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pixels = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        weight = self.weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        padding = (0, self.weight.shape[2] // 2)
        return F.conv2d(pixels, weight, self.bias, padding=padding).squeeze(2).contiguous()


def get_inputs(batch: int = 2048, dtype: str = "float16") -> list[torch.Tensor]:
    x = torch.randn(batch, CHANNELS, LENGTH) * 0.041105 + 0.006413
    return [x.to(DTYPES[dtype])]


def get_init_inputs() -> list[int]:
    return [CHANNELS, CHANNELS, TAPS]


def get_cost(inputs: list[torch.Tensor]) -> dict[str, float]:
    """Bytes moved at least and floating-point operations of the definition."""
    x = inputs[0]
    batch, channels, length = x.shape
    elements = 2 * x.numel() + channels * channels * TAPS + channels
    return {
        "bytes": float(elements * x.element_size()),
        "flops": 2.0 * batch * length * channels * channels * TAPS,
    }


WORKLOADS = {
    "fp32_b8": {"batch": 8, "dtype": "float32"},
    "fp32_b32": {"batch": 32, "dtype": "float32"},
    **{f"fp16_b{batch}": {"batch": batch, "dtype": "float16"} for batch in BATCHES},
    **{f"fp32_b{batch}": {"batch": batch, "dtype": "float32"} for batch in BATCHES},
}
BASELINES = {"conv2d": Conv2d}
# As published with the kernel to beat, which is in half precision.
TOLERANCE = {"float16": (1e-4, 5e-4)}
