"""First Triton kernel for X (X^T Y): one program computes some columns of one sample.

It goes over the width of X in steps; each step makes a strip of X^T Y and multiplies it at once.
"""

# ruff: noqa: PLR0917 - a kernel takes one argument for each tensor and size
import torch
import triton
import triton.language as tl
from torch import nn

BLOCK_COLUMNS = 64  # tune: 32, 64, 128, 256
BLOCK_WIDTH = 32  # tune: 16, 32, 64, 128
NUM_WARPS = 4  # tune: 1, 2, 4, 8
NUM_STAGES = 2  # tune: 1, 2, 3, 4


@triton.jit
def fm_kernel(
    x_ptr,
    y_ptr,
    out_ptr,
    columns,
    FIELDS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK_FIELDS: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    batch = tl.program_id(0)
    fields = tl.arange(0, BLOCK_FIELDS)
    cols = tl.program_id(1) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    inside = (fields[:, None] < FIELDS) & (cols[None, :] < columns)
    places = batch * FIELDS * columns + fields[:, None] * columns + cols[None, :]
    y = tl.load(y_ptr + places, mask=inside, other=0.0)
    acc = tl.zeros([BLOCK_FIELDS, BLOCK_COLUMNS], dtype=tl.float32)
    for start in range(0, WIDTH, BLOCK_WIDTH):
        steps = start + tl.arange(0, BLOCK_WIDTH)
        x = tl.load(
            x_ptr + batch * FIELDS * WIDTH + fields[:, None] * WIDTH + steps[None, :],
            mask=(fields[:, None] < FIELDS) & (steps[None, :] < WIDTH),
            other=0.0,
        )
        strip = tl.dot(tl.trans(x), y, input_precision="ieee")
        acc = tl.dot(x, strip.to(x.dtype), acc, input_precision="ieee")
    tl.store(out_ptr + places, acc.to(out_ptr.dtype.element_ty), mask=inside)


class ModelNew(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x = x.contiguous()
        y = y.contiguous()
        batch, fields, width = x.shape
        columns = y.shape[2]
        out = torch.empty_like(y)
        grid = (batch, triton.cdiv(columns, BLOCK_COLUMNS))
        fm_kernel[grid](
            x,
            y,
            out,
            columns,
            FIELDS=fields,
            WIDTH=width,
            BLOCK_FIELDS=max(16, triton.next_power_of_2(fields)),
            BLOCK_WIDTH=BLOCK_WIDTH,
            BLOCK_COLUMNS=BLOCK_COLUMNS,
            num_warps=NUM_WARPS,
            num_stages=NUM_STAGES,
        )
        return out
