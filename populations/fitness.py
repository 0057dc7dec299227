"""Kernels in the shape DEAP's tools expect: an individual with a fitness.

Fitness is compared lexicographically: the share of correctness checks passed, then the natural
logarithm of the lower end of the speedup's interval. Both are maximised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from deap import base

if TYPE_CHECKING:
    from collections.abc import Iterable

    from populations.kernel import Kernel


class Fitness(base.Fitness):  # type: ignore[misc]  # DEAP has no type information
    """(share of checks passed, log of the least speedup), greater is better.

    A kernel that was not timed has minus infinity for the second value.
    """

    weights = (1.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Individual:
    """One kernel with its DEAP fitness; compared by identity.

    Attributes:
        kernel: The judged kernel.
        fitness: Its fitness as DEAP compares it.
    """

    kernel: Kernel
    fitness: base.Fitness

    def __deepcopy__(self, memo: dict[int, Any]) -> Individual:
        # DEAP's hall of fame keeps deep copies, against individuals that change. These do not.
        return self


def objectives(kernel: Kernel) -> Individual:
    """Wrap a kernel that passed with an objective for each workload, and one for all together.

    The logarithms of the least speedups, in the order of the workloads' names, the overall one
    last; all are maximised.
    """
    timings = sorted(kernel.evaluation.timings, key=lambda timing: timing.workload)
    logs = [math.log(timing.speedup.low) for timing in timings]
    return Individual(kernel=kernel, fitness=_objectives(len(logs) + 1)((*logs, kernel.fitness[1])))


@cache
def _objectives(count: int) -> type[base.Fitness]:
    return type("Objectives", (base.Fitness,), {"weights": (1.0,) * count})


def individual(kernel: Kernel) -> Individual:
    """Wrap one kernel for DEAP."""
    return Individual(kernel=kernel, fitness=Fitness(kernel.fitness))


def individuals(kernels: Iterable[Kernel]) -> list[Individual]:
    """Wrap kernels for DEAP, in order."""
    return [individual(kernel) for kernel in kernels]
