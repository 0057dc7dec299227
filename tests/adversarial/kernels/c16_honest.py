"""Tries itself out in its first call, which takes long."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)
        self.ready = False

    def forward(self, x):
        if not self.ready:
            self.ready = True
            for _ in range(300):
                torch.addmm(self.linear.bias, x, self.linear.weight.t())
        return self.linear(x)
