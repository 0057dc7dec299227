# A kernel found by evolutionary search; plain Python, needs torch and triton.
# Use: from champion import ModelNew, constructed and called like the reference.
#
# speedup: 1.36x [1.35, 1.36] (95%) over the fastest baseline
# fp16_b2048: 0.118 ms, conv2d+compile 0.160 ms: 1.36x [1.35, 1.36]
# kernel: #130, triton_loads_first: all x before the tap loop
# computes: conv1d
# made by: python -m evo.run experiments/conv1d.toml
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

BLOCK_L = 128  # tune: 32, 64, 128, 256
BLOCK_IN = 32  # tune: 16, 32, 64, 128
NUM_WARPS = 8  # tune: 4, 8
NUM_STAGES = 2  # tune: 1, 2, 3, 4
PROGRAMS = 264  # tune: 132, 264, 396, 528, 792, 1056


@triton.jit
def load_pairs(ptr, words, STEP: tl.constexpr, mask, next_mask, ODD: tl.constexpr):
    """Elements `2 * (words + STEP) + ODD` and the ones behind them, side by side in a row."""
    if ptr.dtype.element_ty.primitive_bitwidth == 16:
        # One base for every STEP: neighbours are then offsets of the same address.
        at = ptr.to(tl.pointer_type(tl.int32)) + words
        first = tl.load(at + STEP, mask=mask, other=0)
        low = first.to(tl.int16)
        high = (first >> 16).to(tl.int16)
        if ODD:
            low = high
            high = tl.load(at + (STEP + 1), mask=next_mask, other=0).to(tl.int16)
        low = low.to(ptr.dtype.element_ty, bitcast=True)
        high = high.to(ptr.dtype.element_ty, bitcast=True)
    else:
        at = ptr + 2 * words + (2 * STEP + ODD)
        low = tl.load(at, mask=mask, other=0)
        high = tl.load(at + 1, mask=next_mask if ODD else mask, other=0)
    return tl.reshape(tl.join(low, high), [low.shape[0], 2 * low.shape[1]])


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
    LENGTH_words,
):
    tl.static_assert(LENGTH % 2 == 0)
    outs = tl.arange(0, BLOCK_OUT)
    bias = tl.load(bias_ptr + outs, mask=outs < OUT, other=0.0)
    all_w = ()
    for start_w in tl.static_range(0, IN, BLOCK_IN):
        for tap_w in tl.static_range(0, TAPS, 1):
            ins_w = start_w + tl.arange(0, BLOCK_IN // 2 if IN - start_w <= BLOCK_IN // 2 and BLOCK_IN >= 32 else BLOCK_IN)
            all_w = all_w + (tl.load(
                w_ptr + outs[:, None] * IN + ins_w[None, :] + tap_w * (OUT * IN),
                mask=(((outs[:, None] < OUT)) | (BLOCK_OUT <= OUT)) & (ins_w[None, :] < IN),
                other=0.0,
            ),)
    for visit in tl.range(
        tl.program_id(0), grid_0 * grid_1, tl.num_programs(0), num_stages=1
    ):
        batch = (visit // grid_1)
        tile = (visit % grid_1)
        places = tile * BLOCK_L + tl.arange(0, BLOCK_L)
        pairs = tile * (BLOCK_L // 2) + tl.arange(0, BLOCK_L // 2)
        acc = tl.zeros([BLOCK_OUT, BLOCK_L], dtype=tl.float32)
        for start in tl.static_range(0, IN, 2 * (BLOCK_IN)):
            for tap in tl.static_range(0, TAPS, 1):
                at = places + (tap - TAPS // 2)
                ins = start + tl.arange(0, BLOCK_IN // 2 if IN - start <= BLOCK_IN // 2 and BLOCK_IN >= 32 else BLOCK_IN)
                w = all_w[(start // BLOCK_IN) * TAPS + tap]
                words = pairs + (((tap - TAPS // 2)) - ((tap - TAPS // 2)) % 2) // 2
                next_words = pairs + ((((tap - TAPS // 2)) - ((tap - TAPS // 2)) % 2) // 2 + 1)
                x = load_pairs(
                    x_ptr,
                    batch * IN * LENGTH_words + ins[:, None] * LENGTH_words + pairs[None, :],
                    (((tap - TAPS // 2)) - ((tap - TAPS // 2)) % 2) // 2,
                    (ins[:, None] < IN) & ((2 * words)[None, :] >= 0) & ((2 * words)[None, :] < LENGTH),
                    (ins[:, None] < IN) & ((2 * next_words)[None, :] >= 0) & ((2 * next_words)[None, :] < LENGTH),
                    ((tap - TAPS // 2)) % 2,
                )
                acc = tl.dot(w, x, acc, input_precision="ieee")
            if start + BLOCK_IN < IN:
                all_x = ()
                for tap_x in tl.static_range(0, TAPS, 1):
                    ins_x = (start + BLOCK_IN) + tl.arange(0, BLOCK_IN // 2 if IN - (start + BLOCK_IN) <= BLOCK_IN // 2 and BLOCK_IN >= 32 else BLOCK_IN)
                    words_x = pairs + (((tap_x - TAPS // 2)) - ((tap_x - TAPS // 2)) % 2) // 2
                    next_words_x = pairs + ((((tap_x - TAPS // 2)) - ((tap_x - TAPS // 2)) % 2) // 2 + 1)
                    all_x = all_x + (load_pairs(
                        x_ptr,
                        batch * IN * LENGTH_words + ins_x[:, None] * LENGTH_words + pairs[None, :],
                        (((tap_x - TAPS // 2)) - ((tap_x - TAPS // 2)) % 2) // 2,
                        (ins_x[:, None] < IN) & ((2 * words_x)[None, :] >= 0) & ((2 * words_x)[None, :] < LENGTH),
                        (ins_x[:, None] < IN) & ((2 * next_words_x)[None, :] >= 0) & ((2 * next_words_x)[None, :] < LENGTH),
                        ((tap_x - TAPS // 2)) % 2,
                    ),)
                for tap in tl.static_range(0, TAPS, 1):
                    at = places + (tap - TAPS // 2)
                    ins = (start + BLOCK_IN) + tl.arange(0, BLOCK_IN // 2 if IN - (start + BLOCK_IN) <= BLOCK_IN // 2 and BLOCK_IN >= 32 else BLOCK_IN)
                    w = all_w[((start + BLOCK_IN) // BLOCK_IN) * TAPS + tap]
                    words = pairs + (((tap - TAPS // 2)) - ((tap - TAPS // 2)) % 2) // 2
                    next_words = pairs + ((((tap - TAPS // 2)) - ((tap - TAPS // 2)) % 2) // 2 + 1)
                    x = all_x[tap]
                    acc = tl.dot(w, x, acc, input_precision="ieee")
        acc = acc + bias.to(tl.float32)[:, None]
        tl.store(
            out_ptr + batch * OUT * LENGTH + outs[:, None] * LENGTH + places[None, :],
            acc.to(out_ptr.dtype.element_ty),
            mask=(outs[:, None] < OUT) & (places[None, :] < LENGTH),
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
            LENGTH_words=(length) // 2,
        )
        return out
