"""One kernel, launched by whoever called."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def softmax_kernel(x, out, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * columns
    cols = tl.arange(0, BLOCK)
    values = tl.load(x + row + cols, mask=cols < columns, other=-float("inf"))
    powers = tl.exp(values - tl.max(values, axis=0))
    tl.store(out + row + cols, powers / tl.sum(powers, axis=0), mask=cols < columns)


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        softmax_kernel[(x.shape[0],)](
            x, out, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]), num_warps=16
        )
        return out
