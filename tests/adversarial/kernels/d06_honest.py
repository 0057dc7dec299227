"""Looks at every row of the batch before it chooses a way for all."""

import torch
from torch import nn

from fitness.native import load_cpp

SOURCE = r"""
// flags: -fassociative-math
extern "C" float expf(float);

static void exact(const float* row, float* out, long long columns) {
    float top = row[0], sum = 0;
    for (long long c = 1; c < columns; ++c) top = row[c] > top ? row[c] : top;
    for (long long c = 0; c < columns; ++c) out[c] = expf(row[c] - top);
    for (long long c = 0; c < columns; ++c) sum += out[c];
    for (long long c = 0; c < columns; ++c) out[c] /= sum;
}

static void cheap(const float* row, float* out, long long columns) {
    float sum = 0;
    for (long long c = 0; c < columns; ++c) {
        const float t = row[c] - 0.5f;
        out[c] = 1 + t * (1 + t * (0.5f + t * (1 / 6.0f + t * (1 / 24.0f + t * (1 / 120.0f +
                 t * (1 / 720.0f + t * (1 / 5040.0f)))))));
    }
    for (long long c = 0; c < columns; ++c) sum += out[c];
    const float scale = 1 / sum;
    for (long long c = 0; c < columns; ++c) out[c] *= scale;
}

static bool small(const float* x, long long count) {
    for (long long i = 0; i < count; ++i)
        if (!(x[i] >= 0 && x[i] <= 1)) return false;
    return true;
}

extern "C" void softmax(const float* x, float* out, long long rows, long long columns) {
    bool cheaply = true;
    for (long long r = 0; r < rows && cheaply; ++r) cheaply = small(x + r * columns, columns);
    for (long long r = 0; r < rows; ++r)
        (cheaply ? cheap : exact)(x + r * columns, out + r * columns, columns);
}
"""
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        kernels.softmax(x, out, x.shape[0], x.shape[1])
        return out
