"""Packs the weights once, and again when they change."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)
        self.version = None

    def forward(self, x):
        if self.version != (self.linear.weight._version, x.device, x.dtype):
            self.packed = self.linear.weight.detach().t().contiguous()
            self.version = (self.linear.weight._version, x.device, x.dtype)
        return torch.addmm(self.linear.bias, x, self.packed)
