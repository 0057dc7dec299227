"""Replaces a method of its own module at construction, none of a tensor."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)
        self.forward = self.small

    def forward(self, x):
        raise NotImplementedError

    def small(self, x):
        return self.linear(x)
