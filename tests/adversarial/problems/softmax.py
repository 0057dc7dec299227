"""Softmax over rows so long that every output is below 1e-4."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return torch.softmax(x, -1)


def get_inputs(rows=4, columns=32768):
    return [torch.rand(rows, columns)]


def get_init_inputs():
    return []
