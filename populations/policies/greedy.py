"""Greedy search, or hill climbing: the best kernel is the parent of every child.

What it finds first is what it stays with: the lower end of what selection can do for a search, in
diversity, as random choice is in pressure.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from populations.archive import Population
from populations.kernel import Kernel
from populations.policies.policy import Change
from populations.selection import sample


class Greedy:
    """The best kernel so far, and the runners-up as its partners.

    Args:
        capacity: Kernels kept, one per skeleton; all but the best are used in crossovers only.
    """

    def __init__(self, *, capacity: int) -> None:
        self._population = Population(capacity=capacity)

    @property
    def members(self) -> tuple[Kernel, ...]:
        """The best kernel and the runners-up."""
        return self._population.members

    def parents(self, count: int, rng: random.Random) -> list[Kernel]:
        """The best, and others drawn at random."""
        if not self.members:
            raise ValueError("cannot select parents from an empty population")
        best, *others = self.members
        return [best, *sample(others or [best], count - 1, rng)][:count]

    def proposed(self, number: int, parents: Sequence[int]) -> None:
        """Nothing depends on proposals."""

    def insert(self, kernel: Kernel) -> Sequence[Change]:
        """Offer a kernel."""
        self._population.insert(kernel)
        return ()

    def dropped(self, number: int) -> None:
        """Nothing depends on proposals."""

    def remeasured(self, kernel: Kernel) -> None:
        """Put the new estimate in the old one's place; another may be the best then."""
        self._population.remeasured(kernel)
