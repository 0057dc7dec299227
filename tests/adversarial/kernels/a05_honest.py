"""A C++ static too, as a workspace that is filled anew in every call."""

import torch
from torch import nn

from fitness.native import load_cpp

SOURCE = r"""
// flags: -fassociative-math
static float transposed[128 * 128];

extern "C" void linear(const float* x, const float* w, const float* b, float* out, long long rows) {
    for (int o = 0; o < 128; ++o)
        for (int i = 0; i < 128; ++i) transposed[i * 128 + o] = w[o * 128 + i];
    for (long long r = 0; r < rows; ++r) {
        float sum[128];
        for (int o = 0; o < 128; ++o) sum[o] = b[o];
        for (int i = 0; i < 128; ++i)
            for (int o = 0; o < 128; ++o) sum[o] += x[r * 128 + i] * transposed[i * 128 + o];
        for (int o = 0; o < 128; ++o) out[r * 128 + o] = sum[o];
    }
}
"""
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        out = torch.empty(x.shape[0], 128)
        kernels.linear(x, self.linear.weight, self.linear.bias, out, x.shape[0])
        return out
