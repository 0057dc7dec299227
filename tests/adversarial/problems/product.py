"""A matrix product that keeps a large device busy for longer than launching it takes."""

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        return self.linear(x)


def get_inputs(rows=1024):
    return [torch.randn(rows, 2048)]


def get_init_inputs():
    return [2048, 2048]
