"""Threads of OpenMP, as many as allowed."""

import torch
from torch import nn

from fitness.native import load_cpp

SOURCE = r"""
// flags: -fassociative-math

static inline float power(float x) {
    x = x < -87 ? -87 : x;
    const float k = __builtin_floorf(x * 1.44269504f + 0.5f);
    const float t = (x - k * 0.693359375f) + k * 2.12194440e-4f;
    const float p = 1 + t * (1 + t * (0.5f + t * (1 / 6.0f + t * (1 / 24.0f + t * (1 / 120.0f +
                    t * (1 / 720.0f))))));
    union { int bits; float value; } scale = {((int)k + 127) << 23};
    return p * scale.value;
}

static void row_of(const float* row, float* out, long long columns) {
    float top = row[0], sum = 0;
    for (long long c = 1; c < columns; ++c) top = row[c] > top ? row[c] : top;
    for (long long c = 0; c < columns; ++c) out[c] = power(row[c] - top);
    for (long long c = 0; c < columns; ++c) sum += out[c];
    const float scale = 1 / sum;
    for (long long c = 0; c < columns; ++c) out[c] *= scale;
}

extern "C" void softmax(const float* x, float* out, long long rows, long long columns) {
    #pragma omp parallel for
    for (long long r = 0; r < rows; ++r) row_of(x + r * columns, out + r * columns, columns);
}
"""
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        kernels.softmax(x, out, x.shape[0], x.shape[1])
        return out
