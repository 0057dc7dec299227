"""How a run is going, one record per inserted kernel, in a DEAP logbook.

Columns: `evaluations` (kernels inserted so far), `number` (the kernel's), `best` (the champion's
speedup, a ratio), `median` (over the population's members that passed, a ratio) and `share_passed`
(of all kernels so far, 0..1). `best` and `median` are None until a kernel has passed.
"""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from deap.tools import Logbook

    from populations.fitness import Individual
    from populations.kernel import Kernel
    from populations.outcome import Speedup

COLUMNS = ("evaluations", "number", "best", "median", "share_passed")


class Progress:
    """Keeps the logbook of one run."""

    def __init__(self) -> None:
        from deap.tools import Logbook, Statistics

        self._logbook = Logbook()
        self._logbook.header = COLUMNS
        self._statistics = Statistics(_speedup)
        self._statistics.register("median", _median_speedup)
        self._passed = 0

    @property
    def logbook(self) -> Logbook:
        """The records so far, a `deap.tools.Logbook`: `logbook.select("evaluations", "best")`."""
        return self._logbook

    def record(
        self, kernel: Kernel, *, members: Sequence[Individual], champion: Kernel | None
    ) -> None:
        """Append the record for `kernel`, with the population and champion as they are after it."""
        self._passed += kernel.passed
        evaluations = len(self._logbook) + 1
        speedup = champion.evaluation.speedup if champion else None
        self._logbook.record(
            evaluations=evaluations,
            number=kernel.number,
            best=speedup.value if speedup else None,
            share_passed=self._passed / evaluations,
            **self._statistics.compile(members),
        )


def _speedup(individual: Individual) -> Speedup | None:
    return individual.kernel.evaluation.speedup


def _median_speedup(speedups: Iterable[Speedup | None]) -> float | None:
    logs = [speedup.log for speedup in speedups if speedup]
    return math.exp(median(logs)) if logs else None
