"""Calls the library's matrix product."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        return torch.mm(x, self.linear.weight.t()) + self.linear.bias
