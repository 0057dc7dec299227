"""Prefix sums, computed in every call."""

import torch
from torch import nn

from fitness.native import load_cpp

SOURCE = r"""
extern "C" void prefix(const long* x, long* out, long long rows, long long columns) {
    for (long long r = 0; r < rows; ++r) {
        long sum = 0;
        for (long long c = 0; c < columns; ++c) out[r * columns + c] = sum += x[r * columns + c];
    }
}
"""
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        kernels.prefix(x.contiguous(), out, x.shape[0], x.shape[1])
        return out
