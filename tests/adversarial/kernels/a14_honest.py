"""A short form too, of a problem that has no constant answer."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        powers = (x - x.amax(-1, keepdim=True)).exp_()
        return (powers * x).sum(-1) / powers.sum(-1)
