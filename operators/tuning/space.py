"""The points that one skeleton's launch parameters span."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from populations.parameters import Value, parameters, values

if TYPE_CHECKING:
    import random

    from populations.kernel import Kernel

Point = tuple[Value, ...]
"""One value for each parameter, in the order of a space's names."""


@dataclass(frozen=True)
class Space:
    """Every parameter's choices, by name; those of numbers ascend."""

    choices: Mapping[str, tuple[Value, ...]]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The parameters, in file order."""
        return tuple(self.choices)

    @cached_property
    def size(self) -> int:
        """How many points there are; 0 for a space without parameters."""
        return prod(map(len, self.choices.values())) if self.choices else 0

    @cached_property
    def ordered(self) -> tuple[bool, ...]:
        """For each parameter, whether its choices are numbers, so that neighbours are alike."""
        return tuple(map(_ordered, self.choices.values()))

    @cached_property
    def _ranks(self) -> tuple[dict[Value, int], ...]:
        return tuple({c: rank for rank, c in enumerate(own)} for own in self.choices.values())

    def points(self) -> Iterator[Point]:
        """All points, the last parameter varying fastest."""
        return product(*self.choices.values())

    def point(self, kernel: Kernel) -> Point:
        """Where a kernel of this skeleton stands."""
        return tuple(values(kernel.source).values())

    def named(self, point: Point) -> dict[str, Value]:
        """A point's values by name."""
        return dict(zip(self.names, point, strict=True))

    def ranks(self, point: Point) -> tuple[int, ...]:
        """The place of each value among its choices, from 0."""
        return tuple(ranks[value] for ranks, value in zip(self._ranks, point, strict=True))

    def drawn(self, rng: random.Random) -> Point:
        """A point drawn evenly."""
        return tuple(rng.choice(choices) for choices in self.choices.values())

    def neighbours(self, point: Point) -> Iterator[Point]:
        """Points that differ in one parameter: a number by one step, anything else by any."""
        ranks = self.ranks(point)
        for at, (own, ordered) in enumerate(zip(self.choices.values(), self.ordered, strict=True)):
            near = (ranks[at] - 1, ranks[at] + 1) if ordered else range(len(own))
            for rank in near:
                if 0 <= rank < len(own) and rank != ranks[at]:
                    yield (*point[:at], own[rank], *point[at + 1 :])

    def distance(self, a: Point, b: Point) -> int:
        """Steps between two points along the choices; a category is one step from any other."""
        return sum(
            abs(x - y) if ordered else int(x != y)
            for x, y, ordered in zip(self.ranks(a), self.ranks(b), self.ordered, strict=True)
        )


def space_of(kernels: Iterable[Kernel]) -> Space:
    """Every parameter's choices over the kernels of one skeleton."""
    return _space_of(kernel.source for kernel in kernels)


def space_of_source(source: str) -> Space:
    """Every parameter's choices in one text."""
    return _space_of([source])


def _space_of(sources: Iterable[str]) -> Space:
    found: dict[str, dict[Value, None]] = {}
    for source in sources:
        for parameter in parameters(source):
            found.setdefault(parameter.name, {}).update(dict.fromkeys(parameter.choices))
    return Space(
        {
            name: tuple(sorted(choices)) if _ordered(choices) else tuple(choices)
            for name, choices in found.items()
        }
    )


def _ordered(choices: Iterable[Value]) -> bool:
    return all(type(choice) in (int, float) for choice in choices)
