# A kernel found by evolutionary search; plain Python, needs torch and triton.
# Use: from champion import ModelNew, constructed and called like the reference.
#
# speedup: 1.24x [1.24, 1.25] (95%) over the fastest baseline
# fp32_b2048: 0.710 ms, max-autotune-no-cudagraphs 0.882 ms: 1.24x [1.24, 1.25]
# kernel: #117, triton_split_tile: a half and a quarter of outs in conv1d_kernel
# computes: conv1d
# made by: python -m evo.run experiments/conv1d.toml --set 'target.cuda.workloads=["fp32_b2048"]'
#     --set budget.wall_s=240
# device: NVIDIA H200
# target: cuda
# threads: 1
# cores: 32
# evo: 0.1.0
# python: 3.12.3
# kernel: 6.18.44-fc-v657-gpu
# torch: 2.11.0
# triton: 3.6.0
# optuna: 5.0.0
# deap: 1.4.4
# driver: 580.159.04
# confinement: process-namespace, network-namespace, user (a number of its own), read-only-mounts,
#     private-folder, landlock (version 7), seccomp, resource-limits, memory-watch

"""First Triton kernel for conv1d: one program computes all channels of a stretch of one sample."""

# ruff: noqa: PLR0917 - a kernel takes one argument for each tensor and size
import torch
import triton
import triton.language as tl
from torch import nn

BLOCK_L = 256  # tune: 32, 64, 128, 256
BLOCK_IN = 16  # tune: 16, 32, 64, 128
NUM_WARPS = 8  # tune: 4, 8
NUM_STAGES = 3  # tune: 1, 2, 3, 4
GROUP = 16  # tune: 1, 2, 4, 8, 16


@triton.jit
def conv1d_kernel(
    x_ptr,
    w_ptr,
    bias_ptr,
    out_ptr,
    LENGTH: tl.constexpr,
    IN: tl.constexpr,
    OUT: tl.constexpr,
    TAPS: tl.constexpr,
    BLOCK_OUT: tl.constexpr,
    BLOCK_IN: tl.constexpr,
    BLOCK_L: tl.constexpr,
    GROUP: tl.constexpr,
):
    tl.static_assert(OUT <= (BLOCK_OUT // 2) + (BLOCK_OUT // 4))
    batch = tl.program_id(1)
    tile = tl.program_id(0)
    tile, batch = tl.swizzle2d(tile, batch, tl.num_programs(0), tl.num_programs(1), GROUP)
    outs_low = tl.arange(0, (BLOCK_OUT // 2))
    outs_high = ((BLOCK_OUT // 2) + tl.arange(0, (BLOCK_OUT // 4)))
    places = tile * BLOCK_L + tl.arange(0, BLOCK_L)
    acc_low = tl.zeros([(BLOCK_OUT // 2), BLOCK_L], dtype=tl.float32)
    acc_high = tl.zeros([(BLOCK_OUT // 4), BLOCK_L], dtype=tl.float32)
    for tap in range(TAPS):
        at = places + (tap - TAPS // 2)
        for start in range(0, IN, BLOCK_IN):
            ins = start + tl.arange(0, BLOCK_IN)
            w_low = tl.load(
                w_ptr + outs_low[:, None] + ins[None, :] * OUT + tap * (IN * OUT),
                mask=(outs_low[:, None] < OUT) & (ins[None, :] < IN),
                other=0.0,
            )
            w_high = tl.load(
                w_ptr + outs_high[:, None] + ins[None, :] * OUT + tap * (IN * OUT),
                mask=(outs_high[:, None] < OUT) & (ins[None, :] < IN),
                other=0.0,
            )
            x = tl.load(
                x_ptr + batch * IN * LENGTH + ins[:, None] * LENGTH + at[None, :],
                mask=(ins[:, None] < IN) & (at[None, :] >= 0) & (at[None, :] < LENGTH),
                other=0.0,
            )
            acc_low = tl.dot(w_low, x, acc_low, input_precision="ieee")
            acc_high = tl.dot(w_high, x, acc_high, input_precision="ieee")
    bias_low = tl.load(bias_ptr + outs_low, mask=((outs_low < OUT) | (BLOCK_OUT <= OUT)), other=0.0)
    bias_high = tl.load(bias_ptr + outs_high, mask=((outs_high < OUT) | (BLOCK_OUT <= OUT)), other=0.0)
    acc_low = acc_low + bias_low.to(tl.float32)[:, None]
    acc_high = acc_high + bias_high.to(tl.float32)[:, None]
    tl.store(
        out_ptr + batch * OUT * LENGTH + outs_low[:, None] * LENGTH + places[None, :],
        acc_low.to(out_ptr.dtype.element_ty),
        mask=(outs_low[:, None] < OUT) & (places[None, :] < LENGTH),
    )
    tl.store(
        out_ptr + batch * OUT * LENGTH + outs_high[:, None] * LENGTH + places[None, :],
        acc_high.to(out_ptr.dtype.element_ty),
        mask=(outs_high[:, None] < OUT) & (places[None, :] < LENGTH),
    )


class ModelNew(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, taps: int):
        super().__init__()
        weight = torch.randn(out_channels, in_channels, taps) * 0.047870 - 0.000024
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.randn(out_channels) * 0.033662 - 0.003198)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous()
        batch, channels, length = x.shape
        outs, _, taps = self.weight.shape
        out = torch.empty((batch, outs, length), dtype=x.dtype, device=x.device)
        grid = (batch, triton.cdiv(length, BLOCK_L))
        conv1d_kernel[(triton.cdiv(length, BLOCK_L), batch)](
            x,
            self.weight.reshape(-1, channels, taps).permute(2, 1, 0).contiguous(),
            self.bias,
            out,
            LENGTH=length,
            IN=channels,
            OUT=outs,
            TAPS=taps,
            BLOCK_OUT=triton.next_power_of_2(outs),
            BLOCK_IN=BLOCK_IN,
            BLOCK_L=BLOCK_L,
            num_warps=NUM_WARPS,
            num_stages=NUM_STAGES,
            GROUP=GROUP,
        )
        return out
