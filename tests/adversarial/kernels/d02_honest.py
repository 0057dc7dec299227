"""Asks the environment for the number of threads."""

import os
import torch
from torch import nn

THREADS = max(int(os.environ.get("OMP_NUM_THREADS", "1")), 1)


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        step = 32 * THREADS
        return torch.cat([self.linear(part) for part in x.split(step)])
