"""MAP-Elites: the best kernel of every kind (Mouret and Clune 2015).

Kinds are cells: what each of a few descriptors says of a kernel, see
`populations.policies.descriptors`. A kernel competes with those of its own cell alone, so an
approach that is slow at first lives on until it is found out how fast it can be made.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from populations.archive import Population
from populations.kernel import Kernel
from populations.policies.descriptors import Descriptor
from populations.policies.policy import Change
from populations.selection import Selection

Cell = tuple[str, ...]


class MapElites:
    """One elite per cell. An elite leaves only for a better kernel of its cell.

    Args:
        descriptors: What makes up a cell; none: one cell for all.
        selection: Which elites become parents. Random choice is the algorithm as published.
    """

    def __init__(self, *, descriptors: Sequence[Descriptor], selection: Selection) -> None:
        self._descriptors = tuple(descriptors)
        self._selection = selection
        self._elites: dict[Cell, Kernel] = {}
        self._failed = Population(capacity=8)

    @property
    def members(self) -> tuple[Kernel, ...]:
        """The elites, best first; failed kernels before any has passed."""
        ranked = sorted(self._elites.values(), key=_rank, reverse=True)
        return tuple(ranked) or self._failed.members

    @property
    def elites(self) -> Mapping[Cell, Kernel]:
        """The elite of each cell that has one. A live view, read only."""
        return MappingProxyType(self._elites)

    def parents(self, count: int, rng: random.Random) -> list[Kernel]:
        """Select among the elites. Raises ValueError when there are none."""
        return self._selection.select(self.members, count, rng)

    def proposed(self, number: int, parents: Sequence[int]) -> None:
        """Nothing depends on proposals."""

    def insert(self, kernel: Kernel) -> Sequence[Change]:
        """Offer a kernel to its cell."""
        if not kernel.passed:
            self._failed.insert(kernel)
            return ()
        cell = tuple(describe(kernel) for describe in self._descriptors)
        elite = self._elites.get(cell)
        if elite is None or _rank(kernel) > _rank(elite):
            self._elites[cell] = kernel
        return ()

    def dropped(self, number: int) -> None:
        """Nothing depends on proposals."""

    def remeasured(self, kernel: Kernel) -> None:
        """Put the new estimate in the old one's place, in the same cell."""
        cell = next((c for c, elite in self._elites.items() if elite.number == kernel.number), None)
        if cell is None:
            return
        if kernel.passed:
            self._elites[cell] = kernel
        else:
            del self._elites[cell]
            self._failed.insert(kernel)


def _rank(kernel: Kernel) -> tuple[tuple[float, float], int]:
    """Of equals the elder is the better."""
    return kernel.fitness, -kernel.number
