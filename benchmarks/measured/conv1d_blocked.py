"""conv1d in C++ with register blocking: a kernel whose launch parameters span 1,152 points.

Every combination computes the same function. BLOCK_OUT * VECTORS accumulators of LANES floats each
are held in registers: what does not fit is spilled, which is slow and not wrong.
"""

import torch
from torch import nn

from fitness.native import load_cpp

SOURCE = r"""
#include <cstring>

constexpr int BLOCK_OUT = 4;     // tune: 2, 4, 8, 12, 16, 24
constexpr int VECTORS = 2;       // tune: 1, 2, 3, 4
constexpr int LANES = 8;         // tune: 4, 8, 16
constexpr int BLOCK_IN = 48;     // tune: 6, 12, 24, 48
constexpr int UNROLL = 1;        // tune: 1, 2
constexpr bool OUT_FIRST = true; // tune: true, false

constexpr int CHANNELS = 96;
constexpr int LENGTH = 200;
constexpr int TAPS = 3;
constexpr int PAD = 1;
constexpr int ROW = LENGTH + 2 * PAD;
constexpr int WIDTH = VECTORS * LANES;

typedef float Vector __attribute__((vector_size(LANES * 4)));

static inline Vector load(const float* from) {
    Vector value;
    std::memcpy(&value, from, sizeof(value));
    return value;
}

static inline void tile(const float* padded, const float* weight, const float* bias, float* out,
                        int o, int l) {
    Vector sums[BLOCK_OUT][VECTORS];
    for (int first = 0; first < CHANNELS; first += BLOCK_IN) {
        #pragma GCC unroll 16
        for (int r = 0; r < BLOCK_OUT; ++r) {
            #pragma GCC unroll 16
            for (int v = 0; v < VECTORS; ++v) {
                sums[r][v] = first ? load(out + (o + r) * LENGTH + l + v * LANES)
                                   : Vector{} + bias[o + r];
            }
        }
        #pragma GCC unroll UNROLL
        for (int i = first; i < first + BLOCK_IN; ++i) {
            #pragma GCC unroll 3
            for (int k = 0; k < TAPS; ++k) {
                #pragma GCC unroll 16
                for (int v = 0; v < VECTORS; ++v) {
                    const Vector value = load(padded + i * ROW + l + k + v * LANES);
                    #pragma GCC unroll 16
                    for (int r = 0; r < BLOCK_OUT; ++r) {
                        sums[r][v] += value * weight[((o + r) * CHANNELS + i) * TAPS + k];
                    }
                }
            }
        }
        #pragma GCC unroll 16
        for (int r = 0; r < BLOCK_OUT; ++r) {
            #pragma GCC unroll 16
            for (int v = 0; v < VECTORS; ++v) {
                std::memcpy(out + (o + r) * LENGTH + l + v * LANES, &sums[r][v], sizeof(Vector));
            }
        }
    }
}

// The last tile of a row begins early enough to end with it: what it computes twice is the same.
static inline int begin(int l) { return l + WIDTH <= LENGTH ? l : LENGTH - WIDTH; }

extern "C" void conv1d(const float* x, const float* weight, const float* bias, float* out,
                       long long batch) {
    #pragma omp parallel for
    for (long long b = 0; b < batch; ++b) {
        float padded[CHANNELS * ROW];
        for (int i = 0; i < CHANNELS; ++i) {
            padded[i * ROW] = padded[i * ROW + ROW - 1] = 0.0f;
            std::memcpy(padded + i * ROW + PAD, x + (b * CHANNELS + i) * LENGTH, LENGTH * 4);
        }
        float* mine = out + b * CHANNELS * LENGTH;
        if (OUT_FIRST) {
            for (int o = 0; o < CHANNELS; o += BLOCK_OUT) {
                for (int l = 0; l < LENGTH; l += WIDTH) {
                    tile(padded, weight, bias, mine, o, begin(l));
                }
            }
        } else {
            for (int l = 0; l < LENGTH; l += WIDTH) {
                for (int o = 0; o < CHANNELS; o += BLOCK_OUT) {
                    tile(padded, weight, bias, mine, o, begin(l));
                }
            }
        }
    }
}
"""

kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    """The convolution with its parameters."""

    def __init__(self, in_channels: int, out_channels: int, taps: int):
        super().__init__()
        weight = torch.randn(out_channels, in_channels, taps) * 0.047870 - 0.000024
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.randn(out_channels) * 0.033662 - 0.003198)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve x [batch, 96, 200]."""
        out = torch.empty(x.shape[0], self.weight.shape[0], x.shape[2])
        kernels.conv1d(x.contiguous(), self.weight, self.bias, out, x.shape[0])
        return out
