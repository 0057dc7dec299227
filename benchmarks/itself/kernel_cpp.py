"""The gate in C++: one pass, vectorised by the compiler."""

import torch
from torch import nn

from fitness.native import load_cpp

SOURCE = r"""
#include <cmath>

extern "C" void gate(const float* x, const float* y, float* out, long n) {
#pragma omp parallel for simd
    for (long i = 0; i < n; i++)
        out[i] = x[i] / (1.0f + std::exp(-y[i])) + 0.5f * y[i];
}
"""
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    """The gate."""

    def forward(self, x, y):
        """Allocate the output and fill it."""
        x, y = x.contiguous(), y.contiguous()
        out = torch.empty_like(x)
        kernels.gate(x, y, out, x.numel())
        return out
