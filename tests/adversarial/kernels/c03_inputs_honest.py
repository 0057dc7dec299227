"""In place too, in memory of its own."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b, mask, scale):
        out = a * mask
        return out.add_(b.relu()).mul_(scale)
