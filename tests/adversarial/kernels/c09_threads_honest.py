"""Sets the number of threads to what it is."""

import torch
from torch import nn

torch.set_num_threads(torch.get_num_threads())


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, -1)
