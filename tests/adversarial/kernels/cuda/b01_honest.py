"""Computes on a stream of its own; the caller's stream waits for it."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.stream = None

    def forward(self, x):
        if self.stream is None:
            self.stream = torch.cuda.Stream()
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            out = torch.softmax(x, -1)
        current.wait_stream(self.stream)
        out.record_stream(current)
        return out
