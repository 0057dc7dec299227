"""Fills memory of its own with ones and uses it."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        space = torch.zeros(1 << 16, device=x.device)
        space[: x.shape[0]] = 1
        return self.linear(x) * space[: x.shape[0], None]
