"""The population of a steady-state search: who lives and who leaves.

One member per skeleton: kernels that differ only in launch parameters are one member, represented
by the best point measured so far. So neither a tuner's trials nor the clones of one line can fill
the population, and what is kept is different code.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from populations.fitness import Individual, individual
from populations.parameters import skeleton

if TYPE_CHECKING:
    from populations.kernel import Kernel


class Insertion(StrEnum):
    """What became of a kernel that was offered to the population."""

    ADDED = "added"  # a new skeleton, and there was room
    REPLACED = "replaced"  # a new skeleton; the worst member left
    IMPROVED = "improved"  # a better point of a member's skeleton took its place
    REFUSED = "refused"  # not good enough


class Population:
    """At most `capacity` kernels, one per skeleton, ordered by fitness.

    Every judged kernel is offered once, in proposal order; no randomness is involved, so the same
    kernels in the same order leave the same population.

    Between points of one skeleton the lower end of the speedup's interval decides, then its median:
    of many noisy measurements of one thing, the highest median is mostly luck. Between skeletons
    fitness decides, and on equal fitness the elder. Kernels that failed are members only while no
    kernel has passed; the first that passes takes over alone.
    """

    def __init__(self, *, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a population needs room for at least 1 member, but got {capacity=}")
        self._capacity = capacity
        self._members: dict[str, Individual] = {}

    def __len__(self) -> int:
        return len(self._members)

    @property
    def members(self) -> tuple[Kernel, ...]:
        """The members, best first."""
        ranked = sorted(self._members.values(), key=_rank, reverse=True)
        return tuple(member.kernel for member in ranked)

    def insert(self, kernel: Kernel) -> Insertion:
        """Offer one judged kernel; returns what became of it."""
        newcomer = individual(kernel)
        if newcomer.kernel.passed and self._all_failed():
            self._members.clear()
        elif not newcomer.kernel.passed and self._members and not self._all_failed():
            return Insertion.REFUSED
        key = skeleton(newcomer.kernel.source)
        incumbent = self._members.get(key)
        if incumbent is not None:
            if _point(newcomer) <= _point(incumbent):
                return Insertion.REFUSED
            self._members[key] = newcomer
            return Insertion.IMPROVED
        if len(self._members) < self._capacity:
            self._members[key] = newcomer
            return Insertion.ADDED
        worst = min(self._members, key=lambda k: _rank(self._members[k]))
        if _rank(newcomer) < _rank(self._members[worst]):
            return Insertion.REFUSED
        del self._members[worst]
        self._members[key] = newcomer
        return Insertion.REPLACED

    def remeasured(self, kernel: Kernel) -> None:
        """Put a new estimate in the old one's place, where the kernel is a member.

        One that fails now leaves, unless nobody else would be left.
        """
        key = skeleton(kernel.source)
        member = self._members.get(key)
        if member is None or member.kernel.number != kernel.number:
            return
        if kernel.passed or len(self._members) == 1:
            self._members[key] = individual(kernel)
        else:
            del self._members[key]

    def _all_failed(self) -> bool:
        return not any(member.kernel.passed for member in self._members.values())


def _rank(member: Individual) -> tuple[tuple[float, ...], int]:
    """Order between skeletons; of equals the elder is the better."""
    return member.fitness.wvalues, -member.kernel.number


def _point(member: Individual) -> tuple[float, ...]:
    """Order between points of one skeleton."""
    evaluation = member.kernel.evaluation
    if evaluation.speedup is None:
        return (evaluation.share_passed,)
    return evaluation.share_passed, evaluation.speedup.low, evaluation.speedup.value
