"""Sums in one of two orders by chance: its values differ by rounding alone."""

import random
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)
        random.seed()

    def forward(self, x):
        if random.random() < 0.5:
            half = x[:, :64] @ self.linear.weight[:, :64].t()
            return half + x[:, 64:] @ self.linear.weight[:, 64:].t() + self.linear.bias
        return self.linear(x)
