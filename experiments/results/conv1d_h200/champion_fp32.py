# A kernel found by evolutionary search; plain Python, needs torch and triton.
# Use: from champion import ModelNew, constructed and called like the reference.
#
# speedup: 1.17x [1.17, 1.18] (95%) over the fastest baseline
# fp32_b2048: 0.752 ms, max-autotune-no-cudagraphs 0.882 ms: 1.17x [1.17, 1.18]
# kernel: #107, triton_fuse_loops: one loop of start and tap; NUM_STAGES 2 to 3
# computes: conv1d
# made by: python -m evo.run experiments/conv1d.toml --set 'target.cuda.workloads=["fp32_b2048"]'
#     --set budget.wall_s=240
# device: NVIDIA H200
# target: cuda
# threads: 1
# cores: 5
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
    total,
):
    outs = tl.arange(0, BLOCK_OUT)
    flat = tl.program_id(0) * BLOCK_L + tl.arange(0, BLOCK_L)
    batch = flat // LENGTH
    places = flat % LENGTH
    acc = tl.zeros([BLOCK_OUT, BLOCK_L], dtype=tl.float32)
    for turn in range(((IN - 0 + BLOCK_IN - 1) // BLOCK_IN) * TAPS):
        start = (turn // TAPS) * BLOCK_IN
        tap = turn % TAPS
        at = places + (tap - TAPS // 2)
        ins = start + tl.arange(0, BLOCK_IN)
        w = tl.load(
            w_ptr + outs[:, None] * TAPS + ins[None, :] * (OUT * TAPS) + tap,
            mask=(outs[:, None] < OUT) & (ins[None, :] < IN),
            other=0.0,
        )
        x = tl.load(
            x_ptr + batch[None, :] * IN * LENGTH + ins[:, None] * LENGTH + at[None, :],
            mask=(ins[:, None] < IN) & (at[None, :] >= 0) & (at[None, :] < LENGTH) & (flat[None, :] < total),
            other=0.0,
        )
        acc = tl.dot(w, x, acc, input_precision="ieee")
    bias = tl.load(bias_ptr + outs, mask=outs < OUT, other=0.0)
    acc = acc + bias.to(tl.float32)[:, None]
    tl.store(
        out_ptr + batch[None, :] * OUT * LENGTH + outs[:, None] * LENGTH + places[None, :],
        acc.to(out_ptr.dtype.element_ty),
        mask=(outs[:, None] < OUT) & (places[None, :] < LENGTH) & (flat[None, :] < total),
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
        conv1d_kernel[(-(-((batch) * length) // BLOCK_L),)](
            x,
            self.weight.reshape(-1, channels, taps).permute(1, 0, 2).contiguous(),
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
            total=(batch) * length,
        )
        return out
