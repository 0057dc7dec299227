# A kernel found by evolutionary search; plain Python, needs torch and triton.
# Use: from champion import ModelNew, constructed and called like the reference.
#
# speedup: 1.70x [1.69, 1.70] (95%) over the fastest baseline
# fp32_b2048: 0.519 ms, max-autotune-no-cudagraphs 0.880 ms: 1.70x [1.69, 1.70]
# kernel: #61, triton_transpose_tiles: tiles of conv1d_kernel the other way round
# computes: conv1d
# made by: python -m evo.run experiments/conv1d.toml
# device: NVIDIA H200
# target: cuda
# threads: 1
# cores: 16
# evo: 0.1.0
# python: 3.12.3
# kernel: 6.18.44-fc-v657-gpu
# torch: 2.11.0
# triton: 3.6.0
# optuna: 5.0.0
# deap: 1.4.4
# driver: 580.159.04
# confinement: process namespace, network namespace, read-only mounts, seccomp, resource limits

"""First Triton kernel for conv1d: one program computes all channels of a stretch of one sample."""

# ruff: noqa: PLR0917 - a kernel takes one argument for each tensor and size
import torch
import triton
import triton.language as tl
from torch import nn

BLOCK_L = 64  # tune: 32, 64, 128, 256
BLOCK_IN = 64  # tune: 16, 32, 64, 128
NUM_WARPS = 8  # tune: 4, 8
NUM_STAGES = 2  # tune: 1, 2, 3, 4
PROGRAMS = 264  # tune: 132, 264, 396, 528, 792, 1056


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
    grid_0,
    grid_1,
):
    outs = tl.arange(0, BLOCK_OUT)
    bias = tl.load(bias_ptr + outs, mask=outs < OUT, other=0.0)
    all_w = ()
    for tap_w in tl.static_range(0, TAPS, 1):
        for start_w in tl.static_range(0, IN, BLOCK_IN):
            ins_w = start_w + tl.arange(0, BLOCK_IN)
            all_w = all_w + (tl.load(
                w_ptr + outs[:, None] * IN + ins_w[None, :] + tap_w * (OUT * IN),
                mask=(outs[:, None] < OUT) & (ins_w[None, :] < IN),
                other=0.0,
            ),)
    for visit in tl.range(
        tl.program_id(0), grid_0 * grid_1, tl.num_programs(0), num_stages=1
    ):
        batch = (visit // grid_1)
        tile = (visit % grid_1)
        places = tile * BLOCK_L + tl.arange(0, BLOCK_L)
        acc = tl.zeros([BLOCK_OUT, BLOCK_L], dtype=tl.float32)
        for start in tl.static_range(0, IN, BLOCK_IN):
            for tap in tl.static_range(0, TAPS, 1):
                at = places + (tap - TAPS // 2)
                ins = start + tl.arange(0, BLOCK_IN)
                w = all_w[tap * ((IN + BLOCK_IN - 1) // BLOCK_IN) + start // BLOCK_IN]
                x = tl.load(
                    x_ptr + batch * IN * LENGTH + ins[:, None] * LENGTH + at[None, :],
                    mask=(ins[:, None] < IN) & (at[None, :] >= 0) & (at[None, :] < LENGTH),
                    other=0.0,
                )
                acc = tl.dot(w, x, acc, input_precision="bf16x3")
        acc = acc + bias.to(tl.float32)[:, None]
        tl.store(
            out_ptr + batch * OUT * LENGTH + outs[:, None] * LENGTH + places[None, :],
            acc.to(out_ptr.dtype.element_ty),
            mask=(((outs[:, None] < OUT)) | (BLOCK_OUT <= OUT)) & (places[None, :] < LENGTH),
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
        conv1d_kernel[(min(PROGRAMS, (batch) * (triton.cdiv(length, BLOCK_L))),)](
            x,
            self.weight.reshape(-1, channels, taps).permute(2, 0, 1).contiguous(),
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
            grid_0=batch,
            grid_1=triton.cdiv(length, BLOCK_L),
        )
        return out
