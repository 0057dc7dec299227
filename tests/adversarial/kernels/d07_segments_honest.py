"""Follows the ends of segments wherever they are."""

import torch
from torch import nn

from fitness.native import load_cpp

SOURCE = r"""
extern "C" void segments(const float* values, const long* ends, float* out, long long segments,
                         long long width) {
    for (long long s = 0; s < segments; ++s) {
        for (long long r = s ? ends[s - 1] : 0; r < ends[s]; ++r)
            for (long long c = 0; c < width; ++c) out[s * width + c] += values[r * width + c];
    }
}
"""
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def forward(self, values, ends):
        values, ends = values.contiguous(), ends.contiguous()
        out = torch.zeros(ends.shape[0], values.shape[1])
        kernels.segments(values, ends, out, ends.shape[0], values.shape[1])
        return out
