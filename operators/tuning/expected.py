"""The point that promises most: expected improvement under a Gaussian process.

Jones, Schonlau and Welch 1998, "Efficient Global Optimization of Expensive Black-Box Functions".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from operators.tuning.surrogate import expected_improvement, fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from operators.tuning.space import Point, Space
    from populations.kernel import Kernel

# Standard errors in the whole width of a 95% interval.
_WIDTH = 2 * 1.96
# Observations that the model is fitted to: the best half of them and the latest.
_MOST = 400
# Scores are compared to so many digits, so that the order of two sums decides nothing.
_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Prospect:
    """What the next trial of a skeleton may bring.

    Attributes:
        point: Where to look.
        improvement: How much of log speedup it is expected to add.
        device_s: Seconds of the device that a trial of this skeleton takes on average.
    """

    point: Point
    improvement: float
    device_s: float

    @property
    def rate(self) -> float:
        """Expected improvement per second of the device."""
        return self.improvement / self.device_s


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """What is known of a skeleton's points that are left.

    Attributes:
        left: The points, at least one.
        mean: Expected log speedups.
        deviation: Their standard deviations.
        best: What the best measured point is thought to be worth, in log speedup.
        device_s: Seconds of the device that a trial takes on average.
    """

    left: Sequence[Point]
    mean: Any
    deviation: Any
    best: float
    device_s: float

    def prospect(self, over: float | None = None) -> Prospect:
        """The point with the largest expected improvement over `over`; None: over `best`."""
        over = self.best if over is None else over
        gains = expected_improvement(self.mean, self.deviation, over).round(_DIGITS)
        at = int(gains.argmax())
        return Prospect(self.left[at], float(gains[at]), self.device_s)


def outlook(
    space: Space,
    study: Sequence[Kernel],
    left: Sequence[Point],
    under_way: Sequence[Point] = (),
    *,
    rough: bool = False,
) -> Outlook | None:
    """Model a skeleton; None where nothing has passed yet, or nothing is left.

    How bad a bad point is says little about where the best one lies: whatever is slower than the
    middle of those that passed counts as that, and so does what failed.

    Args:
        space: The points of the skeleton.
        study: Its judged kernels.
        left: Points to choose from.
        under_way: Points of this skeleton that are being judged.
        rough: Whether a choice may be unlike both its neighbours.
    """
    logs = [k.evaluation.speedup.log for k in study if k.evaluation.speedup]
    if not logs or not left:
        return None
    floor = median(logs)
    points, values, errors = [], [], []
    for kernel in _telling(study):
        speedup = kernel.evaluation.speedup
        points.append(space.point(kernel))
        values.append(max(speedup.log, floor) if speedup else floor)
        errors.append(math.log(speedup.high / speedup.low) / _WIDTH if speedup else 0.0)
    typical = fmean(errors)
    model = fitted(space, points, values, [error or typical for error in errors], rough=rough)
    mean, deviation = model.believing(under_way).predict(left)
    return Outlook(
        left=left,
        mean=mean,
        deviation=deviation,
        best=float(model.predict(points)[0].max()),
        # A millisecond at least: recordings may not know.
        device_s=max(fmean(kernel.evaluation.device_s for kernel in study), 1e-3),
    )


def _telling(study: Sequence[Kernel]) -> list[Kernel]:
    if len(study) <= _MOST:
        return list(study)
    ranked = sorted(study, key=lambda k: k.fitness, reverse=True)[: _MOST // 2]
    kept = {k.number for k in (*ranked, *study[-(_MOST // 2) :])}
    return [k for k in study if k.number in kept]
