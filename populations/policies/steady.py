"""One population in a steady state: each child competes with all members at once.

The elitist steady state of Whitley's GENITOR (1989), with one member per skeleton; see
`populations.archive` for who lives and `populations.selection` for who becomes a parent.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from populations.archive import Population
from populations.kernel import Kernel
from populations.policies.policy import Change
from populations.selection import Selection


class SteadyState:
    """A population and a selection.

    Args:
        population: Who lives.
        selection: Who becomes a parent.
    """

    def __init__(self, *, population: Population, selection: Selection) -> None:
        self._population = population
        self._selection = selection

    @property
    def members(self) -> tuple[Kernel, ...]:
        """The population, best first."""
        return self._population.members

    def parents(self, count: int, rng: random.Random) -> list[Kernel]:
        """Choose by the selection. Raises ValueError on an empty population."""
        return self._selection.select(self._population.members, count, rng)

    def proposed(self, number: int, parents: Sequence[int]) -> None:
        """Nothing depends on proposals."""

    def insert(self, kernel: Kernel) -> Sequence[Change]:
        """Offer a kernel to the population."""
        self._population.insert(kernel)
        return ()

    def dropped(self, number: int) -> None:
        """Nothing depends on proposals."""

    def remeasured(self, kernel: Kernel) -> None:
        """Put the new estimate in the old one's place."""
        self._population.remeasured(kernel)
