"""Random search, the control: every kernel that passed is as good a parent as any other.

Without selection a search still mutates what computes the function; what a policy is worth is what
it finds beyond this one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from populations.archive import Population
from populations.kernel import Kernel
from populations.policies.policy import Change
from populations.selection import sample


class Control:
    """Everything lives.

    Args:
        shown: How many of the best kernels are members.
    """

    def __init__(self, *, shown: int = 24) -> None:
        self._best = Population(capacity=shown)
        self._passed: dict[int, Kernel] = {}

    @property
    def members(self) -> tuple[Kernel, ...]:
        """The best kernels, best first."""
        return self._best.members

    def parents(self, count: int, rng: random.Random) -> list[Kernel]:
        """Draw among all that passed; before one has, among the best of those that failed."""
        return sample(list(self._passed.values()) or self.members, count, rng)

    def proposed(self, number: int, parents: Sequence[int]) -> None:
        """Nothing depends on proposals."""

    def insert(self, kernel: Kernel) -> Sequence[Change]:
        """Keep a kernel that passed."""
        self._best.insert(kernel)
        if kernel.passed:
            self._passed[kernel.number] = kernel
        return ()

    def dropped(self, number: int) -> None:
        """Nothing depends on proposals."""

    def remeasured(self, kernel: Kernel) -> None:
        """Put the new estimate in the old one's place."""
        self._best.remeasured(kernel)
        if kernel.passed:
            self._passed[kernel.number] = kernel
        else:
            self._passed.pop(kernel.number, None)
