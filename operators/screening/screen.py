"""Which of the kernels on offer promises most.

One Gaussian process over all kernels of a run (`operators.tuning.surrogate`), whatever their
structure; the kernel on offer with the largest expected improvement is taken. That is Bayesian
optimisation with the operators' proposals as its candidates: evolution says where one may go, the
model where one goes first. Trained models that choose among the children of an evolution strategy
are Jin's 2005 "pre-selection"; with structures and parameters in one space it is what SMAC does
(Hutter, Hoos and Leyton-Brown 2011).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING

from operators.screening.traits import frame
from operators.tuning.inheritance import certain_speedup
from operators.tuning.surrogate import expected_improvement, fitted

if TYPE_CHECKING:
    from populations.kernel import Candidate, Kernel

# Kernels that passed before which the choice is even.
STARTUP = 4
# Kernels that the model is fitted to: the best half of them and the latest.
TELLING = 80
# A length for each trait and parameter: the more there are, the less one of them decides, or no two
# kernels would be alike (Hvarfner, Hellsten and Nardi 2024).
_LENGTH = 0.5
# Of the model's fit: there is one for each proposal, and it is not needed exactly.
_STEPS = 20
# Standard errors in the whole width of a 95% interval.
_WIDTH = 2 * 1.96
# Gains are compared to so many digits, so that the order of two sums decides nothing.
_DIGITS = 9


def most_promising(
    offered: Sequence[str],
    judged: Iterable[Kernel],
    under_way: Sequence[Candidate],
    rng: random.Random,
) -> int:
    """The place of the kernel to evaluate next.

    How bad a bad kernel is says little about where the best one is: whatever is slower than the
    middle of those that passed counts as that, and so does what failed. Kernels under way count as
    found to be what is expected of them, so that those proposed together differ.

    Args:
        offered: Sources, at least one.
        judged: Every kernel so far.
        under_way: What is being judged.
        rng: Chooses among equals, and among all while too few have passed.
    """
    kernels = _telling(judged)
    logs = [k.evaluation.speedup.log for k in kernels if k.evaluation.speedup]
    if len(logs) < STARTUP or len(offered) == 1:
        return rng.randrange(len(offered))
    floor, going = median(logs), [candidate.source for candidate in under_way]
    known = frame([*(kernel.source for kernel in kernels), *going, *offered])
    points, values, errors = [], [], []
    for kernel in kernels:
        speedup = kernel.evaluation.speedup
        points.append(known.point(kernel.source))
        values.append(max(speedup.log, floor) if speedup else floor)
        errors.append(math.log(speedup.high / speedup.low) / _WIDTH if speedup else 0.0)
    typical = fmean(filter(None, errors)) if any(errors) else 1.0
    length = _LENGTH * math.sqrt(max(len(known.space.names), 1))
    errors = [error or typical for error in errors]
    model = fitted(known.space, points, values, errors, length=length, steps=_STEPS)
    best = float(model.predict(points)[0].max())
    believing = model.believing([known.point(source) for source in going])
    mean, deviation = believing.predict([known.point(source) for source in offered])
    gains = expected_improvement(mean, deviation, best).round(_DIGITS).tolist()
    return rng.choice([at for at, gain in enumerate(gains) if gain == max(gains)])


def _telling(judged: Iterable[Kernel]) -> list[Kernel]:
    kernels = list(judged)
    if len(kernels) <= TELLING:
        return kernels
    best = sorted(kernels, key=certain_speedup, reverse=True)[: TELLING // 2]
    kept = {kernel.number for kernel in best}
    rest = [kernel for kernel in kernels if kernel.number not in kept]
    return [*best, *rest[len(best) - TELLING :]]
