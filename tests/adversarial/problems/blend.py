"""Elementwise with four inputs; one of them is all ones wherever it is drawn."""

import torch
from torch import nn

WORKLOADS = {"n16384": {"n": 16384}, "n65536": {"n": 65536}}


class Model(nn.Module):
    def forward(self, a, b, mask, scale):
        return (a * mask + torch.relu(b)) * scale


def get_inputs(n=16384):
    return [torch.randn(n), torch.randn(n), torch.ones(n), torch.rand(1) + 0.5]


def get_init_inputs():
    return []
