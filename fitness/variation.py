"""The inputs of timed calls: other contents for every call, made in place and quickly.

A kernel that keeps the answers to inputs that it has seen is faster than one that computes, so no
timed call may see contents twice. Drawing inputs anew for each would take longer than the call.
So a few sets are drawn from secret seeds, and before every call the buffers are filled from one of
them with every floating tensor rolled and scaled by amounts that follow from a secret of the call:

    x'[i] = f * x[(i + r) mod n],   1 <= r < n,   f in 1 +- 3%

The values stay what the problem draws, up to the factor. What must keep its order (sorted) is only
scaled; what carries integers is left alone and changes with the set. The judge repeats the same
steps for the calls whose outputs it compares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import numpy
import torch

from fitness.exchange import Tree, unflatten

_MASK = (1 << 64) - 1
_FACTOR_RANGE = 0.03
_FACTOR_STEPS = 1 << 15
# Positions looked at per output, and in all.
_PLACES = 64
_MOST_PLACES = 2048
# Up to this size a tensor is kept twice, so that it rolls in one step.
_DOUBLED_BYTES = 1 << 20
_NUMPY = (torch.float32, torch.float64)


class Change(StrEnum):
    """What a call may change of a tensor."""

    ROLL = "roll"
    SCALE = "scale"
    KEEP = "keep"


def mix(seed: int, number: int) -> int:
    """A 64-bit secret for a call, from its batch's (splitmix64, Steele et al. 2014)."""
    value = (seed + number * 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def change_of(tensors: Sequence[torch.Tensor]) -> Change:
    """What may be changed of an input, from its contents in every set."""
    first = tensors[0]
    if not first.is_floating_point() or first.numel() < 2:
        return Change.KEEP
    flats = [t.flatten() for t in tensors]
    if not all(bool(torch.isfinite(f).all()) for f in flats):
        return Change.KEEP
    # Ones and zeros in a mask, or counts: another factor would make them something else.
    if all(bool((f == f.round()).all()) for f in flats):
        return Change.KEEP
    if all(bool((t.diff(dim=-1) >= 0).all()) for t in tensors if t.dim()):
        return Change.SCALE
    return Change.ROLL


class Contents:
    """Buffers for one workload's inputs, filled anew before every call.

    Both sides of a pair use it, so that what it costs and what it leaves in caches cancels.
    """

    def __init__(
        self,
        tree: Tree,
        sets: Sequence[Sequence[torch.Tensor]],
        changes: Sequence[Change],
    ) -> None:
        """Make buffers like the tensors of the first set, which are left as they are.

        Args:
            tree: Structure of the inputs (`fitness.exchange.flatten`).
            sets: At least one set of tensors, all alike but for their contents, dense, on the
                device that calls run on.
            changes: What may be changed of each tensor.
        """
        self.count = len(sets)
        # The buffers count as one more set.
        self.nbytes = sum(t.nbytes for t in sets[0]) * (len(sets) + 1)
        buffers = [torch.empty_like(t) for t in sets[0]]
        self.arguments: list[Any] = unflatten(tree, buffers)
        self._steps = [
            [_step(*step) for step in zip(tensors, buffers, changes, strict=True)]
            for tensors in sets
        ]

    def refresh(self, number: int, secret: int) -> None:
        """Fill the buffers from a set, changed as the call's secret says.

        Args:
            number: Of the set; counted around.
            secret: 64 bits.
        """
        by = factor(secret)
        for step in self._steps[number % self.count]:
            step(secret, by)


def _step(
    source: torch.Tensor, buffer: torch.Tensor, change: Change
) -> Callable[[int, float], Any]:
    """What fills a buffer, given a call's secret and its factor."""
    if change is Change.KEEP:
        return lambda _, __: buffer.copy_(source)
    # The order in memory, whatever the strides: elements stay elements.
    size = source.numel()
    given, target = _in_memory(source), _in_memory(buffer)
    if change is Change.ROLL and source.nbytes > _DOUBLED_BYTES:

        def roll(secret: int, by: float) -> None:
            start = 1 + (secret >> 20) % (size - 1)
            torch.mul(given[start:], by, out=target[: size - start])
            torch.mul(given[:start], by, out=target[size - start :])

        return roll
    # Twice behind itself, a rolled tensor is one piece; one that is only scaled starts at 0.
    starts = size - 1 if change is Change.ROLL else 0
    twice: Any = torch.cat((given, given))
    if source.device.type == "cpu" and source.dtype in _NUMPY:
        return _quick_step(twice.numpy(), target.numpy(), starts)

    def renew(secret: int, by: float) -> None:
        start = 1 + (secret >> 20) % starts if starts else 0
        torch.mul(twice[start : start + size], by, out=target)

    return renew


def _quick_step(twice: Any, target: Any, starts: int) -> Callable[[int, float], Any]:
    """With NumPy: called hundreds of times per candidate, between kernels of microseconds."""
    size, multiply = target.size, numpy.multiply
    # Found anew in every call, what a number is as an array takes longer than the product.
    scalar = numpy.empty((), target.dtype)

    def renew(secret: int, by: float) -> None:
        scalar.fill(by)
        start = 1 + (secret >> 20) % starts if starts else 0
        multiply(twice[start : start + size], scalar, target)

    return renew


def factor(secret: int) -> float:
    """The call's factor, never 1."""
    step = secret % (2 * _FACTOR_STEPS) - _FACTOR_STEPS
    return 1.0 + _FACTOR_RANGE * (step + (step >= 0)) / _FACTOR_STEPS


def places(secret: int, sizes: Sequence[int]) -> list[list[int]]:
    """Positions at which to look at outputs of these sizes, in their logical order."""
    each = max(min(_PLACES, _MOST_PLACES // max(len(sizes), 1)), 1)
    return [
        [mix(secret, number * each + i) % size for i in range(each if size else 0)]
        for number, size in enumerate(sizes)
    ]


def look(outputs: Sequence[torch.Tensor], secret: int) -> list[torch.Tensor]:
    """What stands at `places` of each output; complex numbers as pairs."""
    real = [torch.view_as_real(o) if o.is_complex() else o for o in outputs]
    found = places(secret, [o.numel() for o in real])
    return [
        torch.take(o.detach(), torch.tensor(at, device=o.device))
        for o, at in zip(real, found, strict=True)
    ]


def _in_memory(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.as_strided((tensor.numel(),), (1,))
