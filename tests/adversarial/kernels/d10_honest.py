"""The same with weight and bias."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, columns):
        super().__init__()
        self.norm = nn.LayerNorm(columns)

    def forward(self, x):
        centred = x - x.mean(-1, keepdim=True)
        unit = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + 1e-5)
        return unit * self.norm.weight + self.norm.bias
