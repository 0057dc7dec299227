"""Two workspaces in turn; a call ends with its own work done."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.turn = 0
        self.spaces = [None, None]

    def forward(self, x):
        self.turn = 1 - self.turn
        if self.spaces[self.turn] is None or self.spaces[self.turn].shape != x.shape:
            self.spaces[self.turn] = torch.empty_like(x)
        space = self.spaces[self.turn]
        torch.exp(x - x.amax(-1, keepdim=True), out=space)
        return space / space.sum(-1, keepdim=True)
