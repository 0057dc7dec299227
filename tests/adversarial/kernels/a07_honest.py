"""Tries two ways in its first calls, both of them right."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)
        self.calls = {}

    def forward(self, x):
        calls = self.calls.get(x.shape, 0)
        self.calls[x.shape] = calls + 1
        if calls % 2 and calls < 60:
            return torch.addmm(self.linear.bias, x, self.linear.weight.t())
        return self.linear(x)
