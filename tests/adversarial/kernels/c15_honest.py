"""Another way for small workloads, measured like any."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        if x.shape[0] <= 64:
            return torch.addmm(self.linear.bias, x, self.linear.weight.t())
        return self.linear(x)
