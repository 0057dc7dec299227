"""Prefix sums in two halves, computed in every call."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        half = x.shape[-1] // 2
        first = torch.cumsum(x[:, :half], -1)
        second = torch.cumsum(x[:, half:], -1)
        if half:
            second += first[:, -1:]
        return torch.cat([first, second], -1)
