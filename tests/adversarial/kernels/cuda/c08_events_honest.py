"""Times itself once, with events of its own."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = True

    def forward(self, x):
        if self.first:
            self.first = False
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            torch.softmax(x, -1)
            end.record()
            end.synchronize()
            self.took_ms = start.elapsed_time(end)
        return torch.softmax(x, -1)
