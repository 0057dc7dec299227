"""Normalises."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, columns):
        super().__init__()
        self.norm = nn.LayerNorm(columns)

    def forward(self, x):
        return nn.functional.layer_norm(x, (x.shape[-1],), self.norm.weight, self.norm.bias)
