"""Adds to memory that it never cleared."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def add_kernel(a, b, mask, scale, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    factor = tl.load(scale)
    tl.atomic_add(out + at, tl.load(a + at, inside) * tl.load(mask + at, inside) * factor, inside)
    tl.atomic_add(out + at, tl.maximum(tl.load(b + at, inside), 0.0) * factor, inside)


class ModelNew(nn.Module):
    def forward(self, a, b, mask, scale):
        out = torch.empty_like(a)
        add_kernel[(triton.cdiv(a.numel(), 1024),)](
            a.contiguous(), b.contiguous(), mask.contiguous(), scale, out, a.numel(), BLOCK=1024
        )
        return out
