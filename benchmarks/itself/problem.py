"""A gate and a scaled residual: one pass over two arrays, at three lengths."""

import torch
from torch import nn


class Model(nn.Module):
    """x sigmoid(y) + y / 2."""

    def forward(self, x, y):
        """Compute it in torch."""
        return x * torch.sigmoid(y) + 0.5 * y


def get_inputs(elements=1 << 20):
    return [torch.randn(elements), torch.randn(elements)]


def get_init_inputs():
    return []


def get_cost(inputs):
    elements = inputs[0].numel()
    return {"bytes": 12.0 * elements, "flops": 4.0 * elements}


WORKLOADS = {
    "8k": {"elements": 1 << 13},
    "128k": {"elements": 1 << 17},
    "512k": {"elements": 1 << 19},
    "32M": {"elements": 1 << 25},
    "256M": {"elements": 1 << 28},
}
