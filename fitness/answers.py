"""What a candidate returns, read without trusting the objects it comes in.

A tensor may carry methods of its own making, put off its work until somebody looks at it, or stand
several times in the same memory. So types are compared exactly, contents are read with torch's own
functions, taken before any candidate was loaded, and what is left to the reader is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fitness.exchange import Tree, flatten

# Torch's own, whatever a candidate puts into their places later.
_copy = torch.Tensor.copy_
_equal = torch.equal
_is_conj = torch.Tensor.is_conj
_is_neg = torch.Tensor.is_neg
_resolve_conj = torch.resolve_conj
_resolve_neg = torch.resolve_neg
_stride = torch.Tensor.stride
_to = torch.Tensor.to
_contiguous = torch.Tensor.contiguous
_flatten_tensor = torch.Tensor.flatten
_view = torch.Tensor.view


@dataclass(frozen=True, slots=True)
class Traits:
    """What an output is beside its dtype, shape and values.

    Attributes:
        device: Kind of the device that it lies on: "cpu", "cuda".
        overlapping: Whether several elements lie in the same memory (`expand`).
        pending: Whether a negation or conjugation is left to whoever reads it.
    """

    device: str
    overlapping: bool = False
    pending: bool = False

    def to_json(self) -> list[Any]:
        """As a list that `from_json` reads."""
        return [self.device, self.overlapping, self.pending]

    @classmethod
    def from_json(cls, data: Any) -> Traits:
        """Read what `to_json` wrote; anything else gives traits that fit nothing."""
        try:
            device, overlapping, pending = data
            return cls(str(device), bool(overlapping), bool(pending))
        except (TypeError, ValueError):
            return cls("unreadable", overlapping=True, pending=True)


def traits_of(tensor: torch.Tensor) -> Traits:
    """Describe a tensor."""
    extents = tuple(tensor.shape)
    reach, overlapping = 0, False
    # In the order of strides each must step over everything below it.
    for stride, extent in sorted(zip(_stride(tensor), extents, strict=True)):
        if extent > 1:
            overlapping |= stride <= reach
            reach += stride * (extent - 1)
    if 0 in extents:
        overlapping = False
    return Traits(tensor.device.type, overlapping, bool(_is_conj(tensor) or _is_neg(tensor)))


def outputs_of(result: Any) -> tuple[Tree, list[torch.Tensor]]:
    """Split what `forward` returned; raises TypeError for anything but plain tensors."""
    tree, tensors = flatten(result)
    for tensor in tensors:
        if tensor.layout is not torch.strided:
            raise TypeError(f"a dense tensor is needed, but got one of layout {tensor.layout}")
        if own := [name for name in vars(tensor) if hasattr(torch.Tensor, name)]:
            raise TypeError(f"a plain tensor is needed, but got one with its own {own[0]}")
    return tree, tensors


def write(views: Sequence[torch.Tensor], tensors: Sequence[torch.Tensor]) -> None:
    """Copy tensors into memory of the same shapes and dtypes; takes part in no gradient."""
    with torch.no_grad():
        for view, tensor in zip(views, tensors, strict=True):
            _copy(view, tensor)


def same(view: torch.Tensor, tensor: torch.Tensor) -> bool:
    """Whether a tensor's bytes are those of a row-major one in host memory; NaN equals itself."""
    with torch.no_grad():
        return bool(_equal(_bytes(view), _bytes(_to(tensor, "cpu"))))


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    plain = _resolve_neg(_resolve_conj(tensor))
    return _view(_flatten_tensor(_contiguous(plain)), torch.uint8)
