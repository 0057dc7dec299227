"""Normalises, in two passes over a row."""

import torch
from torch import nn

from fitness.native import load_cpp

SOURCE = r"""
// flags: -fassociative-math
extern "C" void norm(const float* x, const float* w, const float* b, float* out, long long rows,
                     long long columns) {
    for (long long r = 0; r < rows; ++r) {
        const float* row = x + r * columns;
        double sum = 0, squares = 0;
        for (long long c = 0; c < columns; ++c) sum += row[c];
        const double mean = sum / columns;
        for (long long c = 0; c < columns; ++c) squares += (row[c] - mean) * (row[c] - mean);
        const double scale = 1 / __builtin_sqrt(squares / columns + 1e-5);
        for (long long c = 0; c < columns; ++c)
            out[r * columns + c] = (float)((row[c] - mean) * scale) * w[c] + b[c];
    }
}
"""
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def __init__(self, columns):
        super().__init__()
        self.norm = nn.LayerNorm(columns)

    def forward(self, x):
        out = torch.empty_like(x)
        kernels.norm(x, self.norm.weight, self.norm.bias, out, x.shape[0], x.shape[1])
        return out
