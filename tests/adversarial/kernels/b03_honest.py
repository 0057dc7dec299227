"""A subclass inside, a plain tensor outside."""

import torch
from torch import nn


class Marked(torch.Tensor):
    pass


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        return self.linear(x.as_subclass(Marked)).as_subclass(torch.Tensor)
