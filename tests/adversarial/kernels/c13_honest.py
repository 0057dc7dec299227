"""Asks for its own number and for that of the cores."""

import os
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)
        self.cores = os.cpu_count() or 1
        self.owner = os.getpid()

    def forward(self, x):
        return self.linear(x)
