"""A matrix product with bias, on two sizes."""

import torch
from torch import nn

WORKLOADS = {"rows64": {"rows": 64}, "rows192": {"rows": 192}}


class Model(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        return self.linear(x)


def get_inputs(rows=64):
    return [torch.randn(rows, 128)]


def get_init_inputs():
    return [128, 128]
