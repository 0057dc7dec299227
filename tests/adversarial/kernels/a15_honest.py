"""Begins with minus infinity inside, and returns finite numbers."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        top = torch.full((x.shape[0], 1), float("-inf"), device=x.device)
        for part in x.split(8192, -1):
            top = torch.maximum(top, part.amax(-1, keepdim=True))
        powers = (x - top).exp_()
        return powers.div_(powers.sum(-1, keepdim=True))
