"""Row after row, all of it within the call."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        parts = [torch.softmax(row, -1) for row in x.split(1)]
        return torch.cat(parts)
