"""Softmax from its definition, in place on memory of its own."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        top = x.amax(-1, keepdim=True)
        powers = (x - top).exp_()
        return powers.div_(powers.sum(-1, keepdim=True))
