"""Other inputs than a workload's own: changed values, one changed argument, layouts, shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from fitness.distributions import Distribution, Kind
from fitness.exchange import TensorSpec, Tree, flatten, unflatten
from fitness.given import Given
from fitness.problem import Problem

# Added to a seed where one argument is to be drawn anew.
_OTHER = 0x5DEECE66D


@dataclass(frozen=True, slots=True)
class Drawn:
    """A workload's inputs with their values changed as a distribution says."""

    distribution: Distribution

    @property
    def name(self) -> str:
        """The distribution's."""
        return self.distribution.name

    @property
    def random(self) -> bool:
        """The distribution's."""
        return self.distribution.random

    @property
    def extreme(self) -> bool:
        """The distribution's."""
        return self.distribution.extreme

    @property
    def repeats(self) -> bool:
        """The distribution's."""
        return self.distribution.repeats

    def inputs(self, given: Given, workload: str, seed: int) -> Iterator[list[Any]]:
        """The changed inputs; with a smaller amplitude where that is another thing."""
        tree, tensors = flatten(given.inputs(workload, seed))
        kinds = given.kinds(workload, seed, tensors)
        for mild in (False, True) if self.distribution.amplitudes else (False,):
            changed = self.distribution.apply(tensors, kinds, seed, mild=mild)
            if changed is not None:
                yield unflatten(tree, changed)


@dataclass(frozen=True, slots=True)
class OneRow:
    """A workload's inputs with one row of one tensor from elsewhere, all else as it was."""

    name: str = "one row changed"
    random: bool = False
    extreme: bool = False

    def inputs(self, given: Given, workload: str, seed: int) -> Iterator[list[Any]]:
        """The inputs of `seed` with a row of the largest tensor that may be changed."""
        tree, tensors = flatten(given.inputs(workload, seed))
        kinds = given.kinds(workload, seed, tensors)
        free = [i for i, kind in enumerate(kinds) if kind is Kind.FREE]
        if not free:
            return
        number = max(free, key=lambda i: tensors[i].numel())
        tensor = tensors[number]
        length = tensor.shape[-1] if tensor.dim() > 1 else 1
        rows = tensor.clone(memory_format=torch.contiguous_format).view(-1, length)
        generator = torch.Generator().manual_seed(seed)
        # Neither the first nor the last, where there are others: those are looked at first.
        inner = max(rows.shape[0] - 2, 1)
        row = min(int(torch.randint(inner, (1,), generator=generator)) + 1, rows.shape[0] - 1)
        rows[row] = -1.5 * rows[row].roll(1)
        new = torch.empty_like(tensor).copy_(rows.view(tensor.shape))
        yield unflatten(tree, [*tensors[:number], new, *tensors[number + 1 :]])


@dataclass(frozen=True, slots=True)
class Transposed:
    """A workload's inputs in another order in memory; what stays as it is has one dimension."""

    name: str = "transposed in memory"
    random: bool = True
    extreme: bool = False
    repeats: bool = False

    def inputs(self, given: Given, workload: str, seed: int) -> Iterator[list[Any]]:
        """The same values with the last two dimensions swapped in memory."""
        tree, tensors = flatten(given.inputs(workload, seed))
        if any(t.dim() > 1 for t in tensors):
            yield unflatten(tree, [_transposed(t) for t in tensors])


def _transposed(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dim() < 2:
        return tensor
    return tensor.transpose(-1, -2).contiguous().transpose(-1, -2)


@dataclass(frozen=True, slots=True)
class Argument:
    """A workload's inputs with one of them changed: a number, or a floating tensor drawn anew.

    Attributes:
        number: Which one: tensors first, then numbers that are no integers, in order.
    """

    number: int
    random: bool = False
    extreme: bool = False
    repeats: bool = False

    @property
    def name(self) -> str:
        """Says which."""
        return f"argument {self.number} changed"

    def inputs(self, given: Given, workload: str, seed: int) -> Iterator[list[Any]]:
        """The inputs of `seed`, this argument from elsewhere."""
        tree, tensors = flatten(given.inputs(workload, seed))
        if self.number < len(tensors):
            old = tensors[self.number]
            for new in _others(given.problem, workload, seed, self.number, old):
                yield unflatten(tree, [*tensors[: self.number], new, *tensors[self.number + 1 :]])
            return
        changed = _with_number(tree, self.number - len(tensors))
        yield unflatten(changed, tensors)


def arguments_of(tree: Tree, specs: Sequence[TensorSpec]) -> list[int]:
    """Numbers of the arguments that `Argument` can change."""
    floating = [i for i, s in enumerate(specs) if s.torch_dtype.is_floating_point]
    return floating + [len(specs) + i for i in range(len(list(_numbers(tree))))]


def _others(
    problem: Problem, workload: str, seed: int, number: int, old: torch.Tensor
) -> Iterator[torch.Tensor]:
    """Other values for a tensor: another seed's, or made from its own where those are the same."""
    drawn = flatten(problem.inputs(workload, seed ^ _OTHER))[1]
    if len(drawn) > number and drawn[number].shape == old.shape:
        new = drawn[number]
        if new.dtype == old.dtype and not torch.equal(new, old):
            yield new
            return
    yield old * 1.5
    yield old + 1


def _numbers(tree: Tree) -> Iterator[Tree]:
    """The places of floating numbers in a structure."""
    ((kind, content),) = tree.items()
    if kind in ("list", "tuple"):
        for item in content:
            yield from _numbers(item)
    elif kind == "dict":
        for _, item in content:
            yield from _numbers(item)
    elif kind == "value" and isinstance(content, float):
        yield tree


def _with_number(tree: Tree, number: int) -> Tree:
    copy = _copied(tree)
    place = list(_numbers(copy))[number]
    place["value"] = place["value"] * 1.25 if place["value"] else 0.5
    return copy


def _copied(tree: Tree) -> Tree:
    ((kind, content),) = tree.items()
    if kind in ("list", "tuple"):
        return {kind: [_copied(item) for item in content]}
    if kind == "dict":
        return {kind: [[key, _copied(item)] for key, item in content]}
    return {kind: content}


@dataclass(frozen=True, slots=True)
class Held:
    """Inputs of another shape: other arguments of `get_inputs`, or only the first rows.

    Attributes:
        name: As it is reported.
        arguments: Of `get_inputs`; the others are the workload's.
        rows: So many of the first rows of every tensor that has as many as the first one; 0: all.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    rows: int = 0
    random: bool = True
    extreme: bool = False

    def inputs(self, given: Given, workload: str, seed: int) -> Iterator[list[Any]]:
        """The inputs of this shape."""
        arguments = {**given.problem.workloads[workload], **self.arguments}
        inputs = given.problem.inputs_with(arguments, seed, self.name)
        if not self.rows:
            yield inputs
            return
        tree, tensors = flatten(inputs)
        extents = [t.shape[0] for t in tensors if t.dim()]
        if extents and extents[0] > self.rows:
            yield unflatten(tree, [_cut(t, extents[0], self.rows) for t in tensors])


def _cut(tensor: torch.Tensor, extent: int, rows: int) -> torch.Tensor:
    return tensor[:rows].clone() if tensor.dim() and tensor.shape[0] == extent else tensor
