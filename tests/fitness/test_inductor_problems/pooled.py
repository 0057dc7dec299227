"""A convolution, statistics of a batch that are kept, a buffer that is no state, and pooling."""

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3)
        self.norm = nn.BatchNorm2d(channels)
        self.register_buffer("table", torch.arange(channels).float(), persistent=False)
        self.half = torch.full((channels, 1, 1), 0.5)

    def forward(self, x):
        y = torch.relu(self.norm(self.conv(x))) + self.table[:, None, None] * self.half
        return nn.functional.max_pool2d(y, 2)


def get_inputs():
    return [torch.randn(2, 3, 14, 14)]


def get_init_inputs():
    return [8]
