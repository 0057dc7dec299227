"""Repeats the problem's names with the same meaning."""

import torch
from torch import nn

INNER = OUTER = 128


class Model(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)


class ModelNew(Model):
    def forward(self, x):
        return torch.addmm(self.linear.bias, x, self.linear.weight.t())


def get_inputs(rows=64):
    return [torch.randn(rows, INNER)]


def get_init_inputs():
    return [INNER, OUTER]
