"""Tries itself out and exits with a status, when it is run as a program."""

import sys
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        return self.linear(x)


if __name__ == "__main__":
    sys.exit(0 if ModelNew(128, 128)(torch.zeros(1, 128)).shape == (1, 128) else 1)
