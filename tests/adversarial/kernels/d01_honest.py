"""Looks at its own mode; both ways compute the same."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        if self.training:
            return self.linear(x)
        return torch.addmm(self.linear.bias, x, self.linear.weight.t())
