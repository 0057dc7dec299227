"""Beam search: generation for generation, the best few and nothing else (Lowerre 1976).

In a steady state: the kernels of the beam are expanded evenly, and when as many children have been
judged as a generation has, the best of parents and children are the next beam. So the beam never
gets worse, and a kernel of the present generation becomes a parent in the next one at the earliest.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from populations.archive import Population
from populations.kernel import Kernel
from populations.policies.policy import Change


class Beam:
    """A beam of `width` kernels, one per skeleton.

    Args:
        width: Kernels of the beam.
        branching: Children of each in one generation.
    """

    def __init__(self, *, width: int, branching: int) -> None:
        if branching < 1:
            raise ValueError(f"a generation needs children, but got {branching=}")
        self._children = width * branching
        self._beam: tuple[Kernel, ...] = ()
        self._next = Population(capacity=width)
        self._expanded: dict[int, int] = {}
        self._proposed: set[int] = set()
        self._judged = 0

    @property
    def members(self) -> tuple[Kernel, ...]:
        """The next beam as far as it is known, best first."""
        return self._next.members

    @property
    def beam(self) -> tuple[Kernel, ...]:
        """The present one, as it began."""
        return self._beam

    def parents(self, count: int, rng: random.Random) -> list[Kernel]:
        """Draw from the beam, the least expanded with most chances."""
        if not self._beam:
            raise ValueError("cannot select parents from an empty beam")
        chosen: list[Kernel] = []
        for _ in range(count):
            pool = [k for k in self._beam if k not in chosen] or list(self._beam)
            # Each proposal ahead of the others halves the chance. It stays one: a kernel of which
            # nothing new can be made would hold up the search for ever.
            counts = [self._expanded.get(k.number, 0) for k in pool]
            weights = [2.0 ** (min(counts) - n) for n in counts]
            chosen += rng.choices(pool, weights)
        return chosen

    def proposed(self, number: int, parents: Sequence[int]) -> None:
        """Count an expansion of the first parent."""
        self._proposed.add(number)
        for parent in parents[:1]:
            self._expanded[parent] = self._expanded.get(parent, 0) + 1

    def dropped(self, number: int) -> None:
        """Nothing came of it; the expansion counts all the same."""
        self._proposed.discard(number)

    def insert(self, kernel: Kernel) -> Sequence[Change]:
        """Offer a kernel to the next beam, and take that up when its generation is complete."""
        self._next.insert(kernel)
        if kernel.number in self._proposed:
            self._proposed.remove(kernel.number)
            self._judged += 1
        else:
            self._judged = self._children  # a seed begins a generation of its own
        first = kernel.passed and not any(k.passed for k in self._beam)
        if first or self._judged >= self._children:
            self._beam, self._judged, self._expanded = self._next.members, 0, {}
        return ()

    def remeasured(self, kernel: Kernel) -> None:
        """Put the new estimate in the old one's place."""
        self._next.remeasured(kernel)
        beam = tuple(kernel if k.number == kernel.number else k for k in self._beam)
        self._beam = tuple(k for k in beam if k.passed) or beam
