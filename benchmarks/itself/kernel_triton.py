"""The gate in Triton: one pass."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def gate(x_pointer, y_pointer, out_pointer, count, block: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = at < count
    x = tl.load(x_pointer + at, mask=inside)
    y = tl.load(y_pointer + at, mask=inside)
    tl.store(out_pointer + at, x * tl.sigmoid(y) + 0.5 * y, mask=inside)


class ModelNew(nn.Module):
    """The gate."""

    def forward(self, x, y):
        """Allocate the output and fill it."""
        x, y = x.contiguous(), y.contiguous()
        out = torch.empty_like(x)
        gate[(triton.cdiv(x.numel(), 1024),)](x, y, out, x.numel(), block=1024)
        return out
