"""Reads its own file and writes one beside it."""

from pathlib import Path
import torch
from torch import nn

own = Path(__file__)
copy = own.with_suffix(".txt")
copy.write_text(own.read_text(encoding="utf-8"), encoding="utf-8")


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        return self.linear(x)
