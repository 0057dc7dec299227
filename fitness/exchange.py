"""Values between the judge and a runner: a JSON tree for the structure, shared memory for tensors.

Inputs travel in a sealed memory file that nobody can change afterwards, so that one copy serves
every candidate. Outputs travel in one that is fixed in size; where each output lies in it follows
from what the judge expects, never from what the runner says.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from fitness.sandbox.channel import shared_memory

ALIGNMENT_BYTES = 64
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
Tree = Any
"""JSON: {"tensor": i}, {"list": [...]}, {"tuple": [...]}, {"dict": [[key, tree], ...]},
{"value": v}."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a tensor is, without its contents.

    Attributes:
        dtype: torch's name without the prefix: "float32".
        shape: Its extents.
        stride: Its strides in elements; row-major ones when empty.
    """

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...] = ()

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype as torch's object."""
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    @property
    def nbytes(self) -> int:
        """Bytes of its elements, gaps not counted."""
        return prod(self.shape) * self.torch_dtype.itemsize

    def to_json(self) -> list[Any]:
        """As a list that `from_json` reads."""
        return [self.dtype, self.shape, self.stride]

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> TensorSpec:
        """Read what `to_json` wrote."""
        return cls(data[0], tuple(data[1]), tuple(data[2]))

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


def spec_of(tensor: torch.Tensor) -> TensorSpec:
    """Describe a tensor. Strides are kept where they are dense and not row-major."""
    stride: tuple[int, ...] = ()
    if not tensor.is_contiguous() and _is_dense(tensor):
        stride = tuple(tensor.stride())
    return TensorSpec(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), stride)


def _is_dense(tensor: torch.Tensor) -> bool:
    expected = 1
    for stride, extent in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if extent != 1 and stride != expected:
            return False
        expected *= extent
    return True


def flatten(value: Any) -> tuple[Tree, list[torch.Tensor]]:
    """Split a value into its structure and its tensors, in order.

    Raises TypeError for anything but tensors, numbers, strings, None, lists, tuples and
    dictionaries of them.
    """
    tensors: list[torch.Tensor] = []
    return _flatten(value, tensors), tensors


def _flatten(value: Any, tensors: list[torch.Tensor]) -> Tree:
    if isinstance(value, torch.Tensor):
        # A subclass may put off its work until somebody looks at it.
        if type(value) not in (torch.Tensor, torch.nn.Parameter):
            raise TypeError(f"a plain tensor is needed, but got {type(value).__name__}")
        tensors.append(value)
        return {"tensor": len(tensors) - 1}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_flatten(v, tensors) for v in value]}
    if isinstance(value, dict):
        return {"dict": [[k, _flatten(v, tensors)] for k, v in value.items()]}
    raise TypeError(
        f"tensors, numbers and lists of them are needed, but got {type(value).__name__}"
    )


def unflatten(tree: Tree, tensors: Sequence[torch.Tensor]) -> Any:
    """Put tensors back into the structure that `flatten` gave."""
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "value":
        return content
    if kind == "dict":
        return {key: unflatten(value, tensors) for key, value in content}
    items = [unflatten(value, tensors) for value in content]
    return items if kind == "list" else tuple(items)


def total_bytes(specs: Sequence[TensorSpec]) -> int:
    """Size of a region that holds all of them; at least 1."""
    return max(sum(_padded(spec.nbytes) for spec in specs), 1)


def _padded(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def views(buffer: Any, specs: Sequence[TensorSpec]) -> list[torch.Tensor]:
    """Row-major tensors over a writable buffer, one behind the other, each aligned to 64 bytes.

    They do not keep the buffer's mapping open: whoever closes it must drop them first.
    """
    found, offset = [], 0
    for spec in specs:
        count = prod(spec.shape)
        if count:
            flat = torch.frombuffer(buffer, dtype=spec.torch_dtype, count=count, offset=offset)
        else:
            flat = torch.empty(0, dtype=spec.torch_dtype)
        found.append(flat.view(spec.shape))
        offset += _padded(spec.nbytes)
    return found


def fresh(view: torch.Tensor, spec: TensorSpec, device: str) -> torch.Tensor:
    """A new tensor on `device` with a view's contents and the described strides."""
    stride = spec.stride or torch.empty(spec.shape, device="meta").stride()
    target = torch.empty_strided(spec.shape, stride, dtype=spec.torch_dtype, device=device)
    return target.copy_(view)


def sealed_memory(tensors: Sequence[torch.Tensor], specs: Sequence[TensorSpec]) -> int:
    """A memory file with the tensors' contents that can only be read from now on.

    Returns its descriptor, which the caller closes.
    """
    size = total_bytes(specs)
    descriptor = os.memfd_create("evo-inputs", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    with mmap.mmap(descriptor, size) as buffer:
        _fill(buffer, tensors, specs)
    # Sealing against writing is refused while a writable mapping exists.
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


def _fill(buffer: mmap.mmap, tensors: Sequence[torch.Tensor], specs: Sequence[TensorSpec]) -> None:
    # A function of its own, so that no view outlives the mapping.
    for target, tensor in zip(views(buffer, specs), tensors, strict=True):
        target.copy_(tensor.detach())


def private_mapping(descriptor: int, size: int) -> mmap.mmap:
    """Map a sealed memory file; writing to the mapping changes this process's copy alone."""
    return mmap.mmap(descriptor, size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)


class OutputRegion:
    """Memory that a runner writes the outputs of one call to and the judge reads."""

    def __init__(self, specs: Sequence[TensorSpec]) -> None:
        """Make room for tensors like these; where each one lies follows from them."""
        self._specs = specs
        size = total_bytes(specs)
        self.descriptor = shared_memory(size)
        self._buffer = mmap.mmap(self.descriptor, size)

    def take(self) -> list[torch.Tensor]:
        """Copies of what lies there now; what the runner writes later does not change them."""
        return [view.clone() for view in views(self._buffer, self._specs)]

    def __enter__(self) -> OutputRegion:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)
        self._buffer.close()
