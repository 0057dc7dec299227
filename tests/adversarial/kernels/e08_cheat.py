"""Calls the one primitive that is the whole task."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x.topk(8, -1).values
