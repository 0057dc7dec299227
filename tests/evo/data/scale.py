"""Rows scaled by their sums: a problem in KernelBench's format that is done in microseconds."""

import torch
from torch import nn

SIZES = {"small": 16, "wide": 64}


class Model(nn.Module):
    def __init__(self, factor: float):
        super().__init__()
        self.factor = nn.Parameter(torch.full((), factor))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x.sum(dim=1, keepdim=True) * self.factor


def get_inputs(rows: int = 16) -> list[torch.Tensor]:
    return [torch.rand(rows, 128)]


def get_init_inputs() -> list[float]:
    return [0.5]


WORKLOADS = {name: {"rows": rows} for name, rows in SIZES.items()}
