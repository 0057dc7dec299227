"""Prints a line of JSON, which nobody reads."""

import json
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)
        self.told = False

    def forward(self, x):
        if not self.told:
            self.told = True
            print(json.dumps({"rows": x.shape[0], "speedup": "unknown"}))
        return self.linear(x)
