"""Keeps a plan of tiles by shape; the values are computed in every call."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)
        self.plans = {}

    def forward(self, x):
        key = (x.shape[0], x.dtype)
        if key not in self.plans:
            self.plans[key] = [(at, min(at + 96, x.shape[0])) for at in range(0, x.shape[0], 96)]
        out = torch.empty(x.shape[0], 128, dtype=x.dtype, device=x.device)
        for begin, end in self.plans[key]:
            torch.addmm(self.linear.bias, x[begin:end], self.linear.weight.t(), out=out[begin:end])
        return out
