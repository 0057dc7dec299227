"""A seed that adds where it should multiply."""

import torch
from torch import nn

from fitness.native import load_cpp

SOURCE = r"""
constexpr int UNROLL = 1;  // tune: 1, 2, 4, 8

extern "C" void scale(const float *x, float *y, float factor, long long rows, long long columns) {
    for (long long row = 0; row < rows; ++row) {
        float sum = 0.0f;
        #pragma GCC unroll UNROLL
        for (long long column = 0; column < columns; ++column) {
            sum += x[row * columns + column];
        }
        for (long long column = 0; column < columns; ++column) {
            y[row * columns + column] = x[row * columns + column] * sum + factor;
        }
    }
}
"""
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def __init__(self, factor: float):
        super().__init__()
        self.factor = nn.Parameter(torch.full((), factor))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.empty_like(x)
        kernels.scale(x, y, self.factor.item(), x.shape[0], x.shape[1])
        return y
