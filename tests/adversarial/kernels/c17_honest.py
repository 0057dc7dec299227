"""Writes a module to its own folder and imports it from there."""

import importlib.util
from pathlib import Path
import torch
from torch import nn

path = Path("helper_module.py")
path.write_text("def linear(x, layer):\n    return layer(x)\n", encoding="utf-8")
spec = importlib.util.spec_from_file_location("helper_module", path)
helper = importlib.util.module_from_spec(spec)
spec.loader.exec_module(helper)


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        return helper.linear(x, self.linear)
