"""The population of a steady-state search: who lives, who leaves, who is champion.

One member per skeleton: kernels that differ only in launch parameters are one member, represented
by the best point measured so far. So neither a tuner's trials nor the clones of one line can fill
the population, and what is kept is different code.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from populations.fitness import Individual, individual
from populations.parameters import skeleton
from populations.statistics import Progress

if TYPE_CHECKING:
    from deap.tools import HallOfFame, Logbook

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
    kernels in the same order leave the same population, hall of fame and logbook.

    Between points of one skeleton the lower end of the speedup's interval decides, then its median:
    of many noisy measurements of one thing, the highest median is mostly luck. Between skeletons
    fitness decides, and on equal fitness the elder. Kernels that failed are members only while no
    kernel has passed; the first that passes takes over alone.
    """

    def __init__(self, *, capacity: int) -> None:
        from deap.tools import HallOfFame

        if capacity < 1:
            raise ValueError(f"a population needs room for at least 1 member, but got {capacity=}")
        self._capacity = capacity
        self._members: dict[str, Individual] = {}
        self._hall = HallOfFame(maxsize=None)
        self._progress = Progress()

    def __len__(self) -> int:
        return len(self._members)

    @property
    def members(self) -> tuple[Kernel, ...]:
        """The members, best first."""
        ranked = sorted(self._members.values(), key=_rank, reverse=True)
        return tuple(member.kernel for member in ranked)

    @property
    def champion(self) -> Kernel | None:
        """The first in the hall of fame; None until a kernel has passed."""
        return self._hall[0].kernel if len(self._hall) else None

    @property
    def hall_of_fame(self) -> HallOfFame:
        """The line of champions, the present one first: a `deap.tools.HallOfFame`.

        A new champion must win with the lower end of its interval as well as with its median: a
        lucky measurement has a wide interval, and neither takes the crown nor keeps it for long.
        """
        return self._hall

    @property
    def logbook(self) -> Logbook:
        """One record per insertion; see `populations.statistics` for the columns."""
        return self._progress.logbook

    def insert(self, kernel: Kernel) -> Insertion:
        """Offer one judged kernel; returns what became of it."""
        newcomer = individual(kernel)
        insertion = self._insert(newcomer)
        if _crowned(kernel, self.champion):
            self._hall.insert(newcomer)
        self._progress.record(kernel, members=list(self._members.values()), champion=self.champion)
        return insertion

    def _insert(self, newcomer: Individual) -> Insertion:
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


def _crowned(kernel: Kernel, incumbent: Kernel | None) -> bool:
    speedup = kernel.evaluation.speedup
    if speedup is None:
        return False
    reigning = incumbent.evaluation.speedup if incumbent else None
    return reigning is None or (speedup.low > reigning.low and speedup.value > reigning.value)
