"""Works in place, in a copy."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b, mask, scale):
        a = a.clone()
        a.mul_(mask).add_(b.relu())
        return a.mul_(scale)
