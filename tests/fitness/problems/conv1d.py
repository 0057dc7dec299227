"""A small convolution with state and two workloads in two dtypes."""

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


class Flat(nn.Module):
    """The same as a two-dimensional convolution."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x):
        weight = self.conv.weight.unsqueeze(2)
        return nn.functional.conv2d(x.unsqueeze(2), weight, self.conv.bias, padding=(0, 1)).squeeze(
            2
        )


WORKLOADS = {
    "B8": {"batch": 8, "dtype": torch.float32},
    "B2": {"batch": 2, "dtype": torch.float32},
}
BASELINES = {"conv2d": Flat}


def get_inputs(batch=8, dtype=torch.float32):
    return [torch.randn(batch, 32, 64, dtype=dtype)]


def get_init_inputs():
    return [32]
