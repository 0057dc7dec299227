"""The eight greatest values of every row, sorted."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return torch.topk(x, 8, -1).values


def get_inputs(rows=32, columns=2048):
    return [torch.randn(rows, columns)]


def get_init_inputs():
    return []
