"""Two ways by size, both in full precision."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        if x.shape[0] <= 64:
            return self.linear(x)
        return torch.cat([self.linear(part) for part in x.split(64)])
