"""The sum of two vectors of 64 numbers: a problem that costs nothing."""

import torch
from torch import nn


class Model(nn.Module):
    """Adds."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Add."""
        return a + b


def get_inputs() -> list[torch.Tensor]:
    """Two vectors."""
    return [torch.randn(64), torch.randn(64)]


def get_init_inputs() -> list[object]:
    """Nothing."""
    return []
