"""Which kernel is measured again before it counts: successive re-evaluation.

A measurement is an estimate. Of many kernels, the one that seems fastest is also the one that was
luckiest, and a search that breeds from it follows its luck. So whoever reigns, and whoever seems as
fast, is measured again, the most promising first, and believed by all its measurements together
(`populations.pooling`). Evaluations go where a decision is close, as in the racing of Maron and
Moore, "Hoeffding races" (1994); all others are measured once. To measure everybody again whose
interval reaches the champion's was tried: it costs twice as much and finds slower kernels
(`python -m benchmarks noise`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from populations.kernel import Kernel
from populations.outcome import Evaluation
from populations.pooling import pool


class Estimates:
    """Every measurement of those that were measured again. Draws nothing.

    Args:
        again: How often one kernel is measured again at most; 0 for never.
    """

    def __init__(self, *, again: int) -> None:
        self._again = again
        self._runs: dict[int, list[Evaluation]] = {}
        self._begun: dict[int, int] = {}

    def doubtful(self, champion: Kernel | None, members: Iterable[Kernel]) -> Kernel | None:
        """Who is to be measured again now, if anyone is.

        That is the kernel with the highest speedup among the champion and the members that seem at
        least as fast, as long as they may be measured again and none of their measurements is under
        way.
        """
        reigning = champion.evaluation.speedup if champion else None
        if not self._again or champion is None or reigning is None:
            return None
        close = [
            (speedup.value, -kernel.number, kernel)
            for kernel in {k.number: k for k in (*members, champion)}.values()
            if (speedup := kernel.evaluation.speedup)
            and speedup.value >= reigning.value
            and self._may(kernel.number)
        ]
        return max(close, default=(0.0, 0, None))[2]

    def begin(self, kernel: Kernel) -> None:
        """A kernel is being measured again."""
        self._runs.setdefault(kernel.number, [kernel.evaluation])
        self._begun[kernel.number] = self._begun.get(kernel.number, 0) + 1

    def measured(self, kernel: Kernel, evaluation: Evaluation) -> Kernel:
        """The kernel with all its measurements as one, this one included."""
        runs = self._runs[kernel.number]
        runs.append(evaluation)
        return replace(kernel, evaluation=pool(runs))

    def _may(self, number: int) -> bool:
        begun = self._begun.get(number, 0)
        return begun < self._again and begun == len(self._runs.get(number, (None,))) - 1
