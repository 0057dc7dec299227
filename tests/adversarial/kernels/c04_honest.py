"""Looks up a function of its own module by name."""

import torch
from torch import nn

KINDS = {"ModelNew": nn.functional.linear}


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        return globals()["KINDS"][type(self).__name__](x, self.linear.weight, self.linear.bias)
