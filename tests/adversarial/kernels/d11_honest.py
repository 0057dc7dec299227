"""Multiplies in more precision than declared."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        return torch.addmm(
            self.linear.bias.double(), x.double(), self.linear.weight.t().double()
        ).float()
