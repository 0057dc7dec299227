"""A linear layer under ReLU and softmax, nested inputs, and several outputs in a structure."""

import torch
import torch.nn as nn  # noqa: PLR0402 - as KernelBench writes it

WIDTH = 33


def widened(width):
    return width * 1


class Model(nn.Module):
    """Two layers."""

    def __init__(self, features):
        super(Model, self).__init__()  # noqa: UP008 - as KernelBench writes it
        self.net = nn.Sequential(nn.Linear(features, widened(WIDTH)), nn.ReLU())
        self.prepare()

    def prepare(self):
        self.scale = torch.full((1,), 0.25)

    def forward(self, x, extra):
        scores = self.net(x) * 0.25 + torch.tensor(0.5)
        return torch.softmax(scores, -1), {"sum": x.sum(), "turned": [x.t() + extra["y"], x, 2]}


def get_inputs(rows=16):
    return [torch.randn(rows, 40), {"y": torch.randn(40, rows), "unused": 3}]


def get_init_inputs():
    return [40]


WORKLOADS = {"r16": {}, "r8": {"rows": 8}}
