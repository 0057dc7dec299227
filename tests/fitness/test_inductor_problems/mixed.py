"""Workloads in three dtypes, of which each needs code of its own."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x, y):
        z = torch.sigmoid(x) * y
        return z, z.sum(0), (z > 0).sum()


def get_inputs(rows=12, dtype="float32"):
    kind = getattr(torch, dtype)
    return [torch.randn(rows, 70).to(kind), torch.randn(rows, 1).to(kind)]


def get_init_inputs():
    return []


WORKLOADS = {
    "f32": {},
    "f32_long": {"rows": 20},
    "f16": {"dtype": "float16"},
    "bf16": {"dtype": "bfloat16"},
}
