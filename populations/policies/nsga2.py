"""NSGA-II over the workloads' speedups (Deb et al. 2002), in a steady state (Durillo et al. 2009).

A kernel that is the fastest on one workload and slow on another stays beside one that is fair on
all: what makes the first fast may be crossed into the second. Each workload is an objective, and so
is the overall speedup: it changes nothing in who dominates whom, but makes the kernel that is best
overall the end of an objective, which crowding never removes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from populations.archive import Population
from populations.fitness import Individual, objectives
from populations.kernel import Kernel
from populations.parameters import skeleton
from populations.policies.policy import Change

if TYPE_CHECKING:
    from collections.abc import Iterable


class Nsga2:
    """At most `capacity` kernels by rank of front, then by crowding distance.

    Of kernels of one skeleton none dominates or equals another, so that a tuner's trials do not
    crowd out different code.

    Args:
        capacity: Members at most.
    """

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._members: list[Individual] = []
        self._ranks: dict[int, int] = {}
        self._failed = Population(capacity=capacity)

    @property
    def members(self) -> tuple[Kernel, ...]:
        """The members, best overall first; failed kernels before any has passed."""
        ranked = sorted((m.kernel for m in self._members), key=_overall, reverse=True)
        return tuple(ranked) or self._failed.members

    @property
    def front(self) -> tuple[Kernel, ...]:
        """The members that no other dominates, best overall first."""
        return tuple(k for k in self.members if self._ranks.get(k.number) == 0)

    def parents(self, count: int, rng: random.Random) -> list[Kernel]:
        """Binary tournaments: the better front wins, then the less crowded place."""
        pool: list[Any] = list(self._members) or list(self._failed.members)
        if not pool:
            raise ValueError("cannot select parents from an empty population")
        chosen: list[Any] = []
        for _ in range(count):
            left = [each for each in pool if each not in chosen] or pool
            chosen.append(max(rng.choices(left, k=2), key=self._worth))
        return [each.kernel if isinstance(each, Individual) else each for each in chosen]

    def proposed(self, number: int, parents: Sequence[int]) -> None:
        """Nothing depends on proposals."""

    def insert(self, kernel: Kernel) -> Sequence[Change]:
        """Offer a kernel; the last of the last front leaves."""
        if not kernel.passed:
            self._failed.insert(kernel)
            return ()
        newcomer = objectives(kernel)
        alike = [m for m in self._members if _skeleton(m) == _skeleton(newcomer)]
        if not any(m.fitness == newcomer.fitness or _dominates(m, newcomer) for m in alike):
            beaten = {m.kernel.number for m in alike if _dominates(newcomer, m)}
            kept = [m for m in self._members if m.kernel.number not in beaten]
            self._choose([*kept, newcomer])
        return ()

    def dropped(self, number: int) -> None:
        """Nothing depends on proposals."""

    def remeasured(self, kernel: Kernel) -> None:
        """Put the new estimate in the old one's place, and sort again."""
        others = [m for m in self._members if m.kernel.number != kernel.number]
        if len(others) == len(self._members):
            return
        if kernel.passed:
            others.append(objectives(kernel))
        else:
            self._failed.insert(kernel)
        self._choose(others)

    def _choose(self, pool: Iterable[Individual]) -> None:
        from deap.tools import selNSGA2, sortNondominated

        # Where crowding leaves a choice between ends of objectives, the best overall comes first.
        ordered = sorted(pool, key=lambda m: _overall(m.kernel), reverse=True)
        self._members = selNSGA2(ordered, self._capacity)
        fronts = sortNondominated(self._members, len(self._members))
        self._ranks = {m.kernel.number: rank for rank, front in enumerate(fronts) for m in front}

    def _worth(self, each: Any) -> tuple[float, ...]:
        if isinstance(each, Individual):
            return -self._ranks[each.kernel.number], each.fitness.crowding_dist
        return each.fitness  # type: ignore[no-any-return]


def _overall(kernel: Kernel) -> tuple[tuple[float, float], int]:
    return kernel.fitness, -kernel.number


def _skeleton(member: Individual) -> str:
    return skeleton(member.kernel.source)


def _dominates(one: Individual, other: Individual) -> bool:
    return bool(one.fitness.dominates(other.fitness))
