"""Survivors, and which of them successive halving lets have further trials.

Asynchronous successive halving (Jamieson and Talwalkar 2016; Li et al. 2020, "A System for
Massively Parallel Hyperparameter Tuning") with skeletons as arms: each gets `FIRST` trials, the
best third of those that had them as many again twice over, and so on. An arm is as good as its best
point. Kernels that other operators made count as trials of their skeleton too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from operators.tuning.inheritance import certain_speedup
from populations.parameters import parameters

if TYPE_CHECKING:
    from populations.kernel import Kernel
    from populations.lineage import Lineage

FIRST = 4
FACTOR = 3


@dataclass(frozen=True, slots=True, eq=False)
class Survivor:
    """A skeleton that has passed.

    Attributes:
        best: Its best point.
        study: All its judged kernels, in order.
    """

    best: Kernel
    study: tuple[Kernel, ...]

    @property
    def rung(self) -> int:
        """How many rungs its trials have completed."""
        done, least = 0, FIRST
        while len(self.study) >= least:
            done, least = done + 1, least * FACTOR
        return done


def survivors(lineage: Lineage, count: int) -> list[Survivor]:
    """The best skeletons that have launch parameters, best first.

    Args:
        lineage: Every kernel judged so far.
        count: How many at most.
    """
    kernels, best = lineage.kernels, {}
    for key, numbers in lineage.skeletons().items():
        point = max((kernels[number] for number in numbers), key=certain_speedup)
        if point.passed:
            best[key] = point
    ranked = sorted(best, key=lambda key: certain_speedup(best[key]), reverse=True)
    tunable = (key for key in ranked if parameters(best[key].source))
    return [
        Survivor(best[key], tuple(lineage.same_skeleton(key))) for key in islice(tunable, count)
    ]


def entitled(among: Sequence[Survivor]) -> list[Survivor]:
    """Those that may have another trial now; all of them when nobody is ahead enough.

    Args:
        among: Best first.
    """
    chosen = [s for s in among if s.rung == 0 or s in _promoted(among, s.rung)]
    return chosen or list(among)


def _promoted(among: Iterable[Survivor], rung: int) -> list[Survivor]:
    """The best third, and one at least, of those that completed a rung."""
    completed = [s for s in among if s.rung >= rung]
    return completed[: max(1, len(completed) // FACTOR)]
