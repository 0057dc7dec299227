"""Keeps packed weights, and packs again when they change."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)
        self.packed = None
        self.version = -1

    def forward(self, x):
        version = self.linear.weight._version
        if self.packed is None or self.version != version:
            self.packed, self.version = self.linear.weight.t().contiguous(), version
        return torch.addmm(self.linear.bias, x, self.packed)
