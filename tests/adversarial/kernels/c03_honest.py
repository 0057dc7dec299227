"""Compares tensors of its own, with the functions as they are."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)
        self.tried = False

    def forward(self, x):
        out = self.linear(x)
        if not self.tried:
            self.tried = torch.allclose(
                out, torch.addmm(self.linear.bias, x, self.linear.weight.t()), 1e-3, 1e-3
            )
        return out
