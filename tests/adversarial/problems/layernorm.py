"""Normalisation of rows so long that ordinary inputs are nearly normalised already."""

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, columns):
        super().__init__()
        self.norm = nn.LayerNorm(columns)

    def forward(self, x):
        return self.norm(x)


def get_inputs(rows=2):
    return [torch.randn(rows, 65536)]


def get_init_inputs():
    return [65536]
