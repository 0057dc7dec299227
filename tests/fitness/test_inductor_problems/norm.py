"""Like a layer norm, with parameters and several numbers of rows."""

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, columns, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(columns) + 0.5)
        self.bias = nn.Parameter(torch.randn(columns))
        self.eps = eps

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        variance = ((x - mean) ** 2).mean(-1, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias


def get_inputs(rows=24):
    return [torch.randn(rows, 100)]


def get_init_inputs():
    return [100]


WORKLOADS = {"r24": {}, "r7": {"rows": 7}, "r1": {"rows": 1}}
