"""How a kernel came to be: the steps from its seed, along first parents, with the gain of each.

A gain is a ratio of two speedups, the child's over that of the last kernel before it on the path
that passed, so the gains of a path multiply to its end's speedup over its beginning's. Where a step
failed and a later one mended it, the stretch has one gain, that of the kernel that passed; credit
divides it evenly among the steps of the stretch (`Step.log_gain`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from populations.outcome import Speedup

if TYPE_CHECKING:
    from populations.kernel import Kernel
    from populations.lineage import Lineage


@dataclass(frozen=True, slots=True)
class Step:
    """One kernel of a path, and what it brought.

    Attributes:
        kernel: The kernel itself.
        before: Number of the kernel that the gain is over; None where there is nothing to compare:
            of the first kernel that passed, of those before it, and of one that failed.
        gain: How much faster it is, a ratio with its 95% interval; None where `before` is.
        gains: Workload -> the same ratio, where both were timed on it.
        log_gain: What this step is credited with, the natural logarithm of a ratio: its part of a
            stretch that begins behind a kernel that passed and ends with the next one. The parts of
            a path add up to the logarithm of its last speedup over its first.
    """

    kernel: Kernel
    before: int | None = None
    gain: Speedup | None = None
    gains: Mapping[str, Speedup] = field(default_factory=dict)
    log_gain: float = 0.0


def steps_to(lineage: Lineage, number: int) -> tuple[Step, ...]:
    """The path from the seed to a kernel. Raises KeyError for a number that is not there."""
    path = [lineage.get(each) for each in lineage.path(number)]
    standing: Kernel | None = None
    steps = []
    for kernel, log_gain in zip(path, log_gains(path), strict=True):
        if standing is None or not kernel.passed:
            steps.append(Step(kernel, log_gain=log_gain))
        else:
            steps.append(
                Step(
                    kernel=kernel,
                    before=standing.number,
                    gain=ratio(standing.evaluation.speedup, kernel.evaluation.speedup),
                    gains=_by_workload(standing, kernel),
                    log_gain=log_gain,
                )
            )
        standing = kernel if kernel.passed else standing
    return tuple(steps)


def ratio(before: Speedup | None, after: Speedup | None) -> Speedup | None:
    """How many times as fast `after` is, with an interval; None where one of the two is missing.

    The errors of the two measurements are taken as independent, on the logarithm.
    """
    if before is None or after is None:
        return None
    middle = after.log - before.log
    down = math.hypot(after.log - math.log(after.low), math.log(before.high) - before.log)
    up = math.hypot(math.log(after.high) - after.log, before.log - math.log(before.low))
    value = math.exp(middle)
    low, high = math.exp(middle - down), math.exp(middle + up)
    return Speedup(value=value, low=min(low, value), high=max(high, value))


def log_gains(path: Sequence[Kernel]) -> list[float]:
    """What each kernel of a path is credited with (`Step.log_gain`), in order.

    Those before the first that passed and behind the last have nothing.
    """
    logs = [(place, s.log) for place, k in enumerate(path) if (s := k.evaluation.speedup)]
    gains = [0.0] * len(path)
    for (start, before), (end, after) in pairwise(logs):
        gains[start + 1 : end + 1] = [(after - before) / (end - start)] * (end - start)
    return gains


def _by_workload(before: Kernel, after: Kernel) -> dict[str, Speedup]:
    old = {timing.workload: timing.speedup for timing in before.evaluation.timings}
    gains = {t.workload: ratio(old.get(t.workload), t.speedup) for t in after.evaluation.timings}
    return {workload: gain for workload, gain in gains.items() if gain is not None}
