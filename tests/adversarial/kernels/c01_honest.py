"""Reads the clock to try itself out, and leaves it alone."""

import time
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)
        self.best = None

    def forward(self, x):
        if self.best is None:
            start = time.perf_counter_ns()
            for _ in range(3):
                self.linear(x)
            self.best = time.perf_counter_ns() - start
        return self.linear(x)
