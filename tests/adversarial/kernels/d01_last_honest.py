"""Notes how long its first call takes, and computes every one."""

import time
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.took_ns = 0

    def forward(self, x):
        start = time.perf_counter_ns()
        out = torch.softmax(x, -1)
        self.took_ns = self.took_ns or time.perf_counter_ns() - start
        return out
