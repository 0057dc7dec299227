"""Inherits the library's module and adds nothing."""

from torch import nn


class ModelNew(nn.Linear):
    pass
