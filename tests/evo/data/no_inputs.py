"""A problem that lacks `get_inputs`."""

from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return x


def get_init_inputs():
    return []
