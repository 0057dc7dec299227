"""How a run is going: its champions, and one record per inserted kernel in a DEAP logbook.

Columns: `evaluations` (kernels inserted so far), `number` (the kernel's), `best` (the champion's
speedup, a ratio), `median` (over the policy's members that passed, a ratio) and `share_passed`
(of all kernels so far, 0..1). `best` and `median` are None until a kernel has passed.
"""

from __future__ import annotations

import math
from bisect import insort
from statistics import median
from typing import TYPE_CHECKING

from populations.fitness import individual

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from deap.tools import HallOfFame, Logbook

    from populations.kernel import Kernel
    from populations.outcome import Speedup

# Kernels kept in mind in case champions turn out to have been lucky.
_CONTENDERS = 32
COLUMNS = ("evaluations", "number", "best", "median", "share_passed")


class Progress:
    """Keeps the champions and the logbook of one run, whatever its policy.

    No randomness is involved: the same kernels in the same order leave the same champions.
    """

    def __init__(self) -> None:
        from deap.tools import HallOfFame, Logbook, Statistics

        self._hall = HallOfFame(maxsize=None)
        # The best by the lower ends of their intervals: who may reign when a champion falls.
        self._contenders: list[Kernel] = []
        self._logbook = Logbook()
        self._logbook.header = COLUMNS
        self._statistics = Statistics(_speedup)
        self._statistics.register("median", _median_speedup)
        self._passed = 0

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
        """The records so far, a `deap.tools.Logbook`: `logbook.select("evaluations", "best")`."""
        return self._logbook

    def insert(self, kernel: Kernel, members: Sequence[Kernel] = ()) -> bool:
        """Take in one judged kernel, in proposal order; whether it is the new champion.

        Args:
            kernel: Offered once.
            members: The policy's, after it has taken the kernel in.
        """
        self._contend(kernel)
        is_best = _crowned(kernel, self.champion)
        if is_best:
            self._hall.insert(individual(kernel))
        self._record(kernel, members)
        return is_best

    def remeasured(self, kernel: Kernel) -> bool:
        """Take a better estimate of a kernel inserted before; whether the champion is another.

        Former champions keep their places by their present estimates, and the best of all others
        are asked again: the crown goes to whoever deserves it where the reigning one was merely
        lucky, or fails now.
        """
        before = self.champion
        self._contend(kernel)
        line = [kernel if e.kernel.number == kernel.number else e.kernel for e in self._hall]
        self._hall.clear()
        for each in sorted((k for k in line if k.passed), key=lambda k: k.number):
            self._hall.insert(individual(each))
        for each in sorted(self._contenders, key=lambda k: k.number):
            if _crowned(each, self.champion):
                self._hall.insert(individual(each))
        after = self.champion
        return (before and before.number) != (after and after.number)

    def _contend(self, kernel: Kernel) -> None:
        rest = [each for each in self._contenders if each.number != kernel.number]
        if kernel.passed:
            insort(rest, kernel, key=_worth)
        self._contenders = rest[:_CONTENDERS]

    def _record(self, kernel: Kernel, members: Sequence[Kernel]) -> None:
        self._passed += kernel.passed
        evaluations = len(self._logbook) + 1
        speedup = self.champion.evaluation.speedup if self.champion else None
        self._logbook.record(
            evaluations=evaluations,
            number=kernel.number,
            best=speedup.value if speedup else None,
            share_passed=self._passed / evaluations,
            **self._statistics.compile(members),
        )


def _worth(kernel: Kernel) -> tuple[float, float, int]:
    """Ascending, the best first; of equals the elder."""
    share, log = kernel.fitness
    return -share, -log, kernel.number


def _crowned(kernel: Kernel, incumbent: Kernel | None) -> bool:
    speedup = kernel.evaluation.speedup
    if speedup is None:
        return False
    reigning = incumbent.evaluation.speedup if incumbent else None
    return reigning is None or (speedup.low > reigning.low and speedup.value > reigning.value)


def _speedup(kernel: Kernel) -> Speedup | None:
    return kernel.evaluation.speedup


def _median_speedup(speedups: Iterable[Speedup | None]) -> float | None:
    logs = [speedup.log for speedup in speedups if speedup]
    return math.exp(median(logs)) if logs else None
