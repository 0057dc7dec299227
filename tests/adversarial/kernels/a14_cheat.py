"""The mean of a softmax is one over its length, whatever the input."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.full(x.shape[:-1], 1.0 / x.shape[-1], device=x.device)
