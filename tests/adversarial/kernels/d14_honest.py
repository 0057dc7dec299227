"""Clears what is zero as far as the declared numbers can tell."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        out = self.linear(x)
        return torch.where(out.abs() < 1e-38, 0.0, out)
