"""Adds to memory that it cleared."""

import torch
from torch import nn

from fitness.native import load_cpp

SOURCE = r"""
extern "C" void blend(const float* a, const float* b, const float* mask, const float* scale,
                      float* out, long long n) {
    for (long long i = 0; i < n; ++i) out[i] += a[i] * mask[i] * scale[0];
    for (long long i = 0; i < n; ++i) out[i] += (b[i] > 0 ? b[i] : 0) * scale[0];
}
"""
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def forward(self, a, b, mask, scale):
        out = torch.zeros_like(a)
        kernels.blend(a, b, mask, scale, out, a.numel())
        return out
