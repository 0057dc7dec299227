"""Threads of OpenMP, as many as allowed, all done when it returns."""

import torch
from torch import nn

from fitness.native import load_cpp

SOURCE = r"""
// flags: -fassociative-math
extern "C" float expf(float);
extern "C" void softmax(const float* x, float* out, long long rows, long long columns) {
    #pragma omp parallel for
    for (long long r = 0; r < rows; ++r) {
        const float* row = x + r * columns;
        float top = row[0], sum = 0;
        for (long long c = 1; c < columns; ++c) top = row[c] > top ? row[c] : top;
        for (long long c = 0; c < columns; ++c) out[r * columns + c] = expf(row[c] - top);
        for (long long c = 0; c < columns; ++c) sum += out[r * columns + c];
        for (long long c = 0; c < columns; ++c) out[r * columns + c] /= sum;
    }
}
"""
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        kernels.softmax(x, out, x.shape[0], x.shape[1])
        return out
