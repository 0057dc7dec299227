"""Points that differ from one of the best in a single parameter: local search from many places.

A model that is sure of a slow choice of one parameter stays away from it, also where together with
another choice it is the best there is. So every other trial changes one parameter of one of the
best points to any of its choices, near or far (the one-exchange neighbourhood; Hutter, Hoos and
Stuetzle 2007, "Automatic Algorithm Configuration Based on Local Search"), and between them a
Gaussian process and a Parzen estimator take turns: each finds what the others would have missed,
and all learn from every trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING

from operators.tuning.inheritance import certain_speedup

if TYPE_CHECKING:
    import random

    from operators.tuning.room import Room
    from operators.tuning.space import Point, Space
    from populations.kernel import Kernel

# Trials that are spread over the choices before one of the best is changed.
SPREAD = 10
# Of so many trials one is the Gaussian process's, one the Parzen estimator's.
EVERY = 4
# Of the points that passed, this share and so many at least are the best.
_SHARE, _FEWEST = 0.2, 4
# Points of which the one that is least like the known ones is taken.
_OFFERED = 64
# Every parameter's effect begins as the mean of all, weighed as so many comparisons.
_WEIGHT = 2.0
# Draws of a point and a parameter before one is drawn from all that is left.
_DRAWS = 40
# Of a long study the latest and the best are compared.
_COMPARED = 200


def spread(space: Space, known: Sequence[Point], room: Room, rng: random.Random) -> Point | None:
    """A point whose choices were tried least, of some that are drawn; None: nothing is left.

    Args:
        space: The points.
        known: Those that are measured or being measured.
        room: Those that may be proposed.
        rng: Draws the points that are compared.
    """
    left = room.points(rng)
    offered = rng.sample(left, min(len(left), _OFFERED))
    sizes = [len(choices) for choices in space.choices.values()]

    def seen(point: Point) -> float:
        alike = [
            sum(size for size, a, b in zip(sizes, point, other, strict=True) if a == b)
            for other in known
        ]
        # On the whole, and no near copy of any.
        return sum(alike) / len(alike) + 0.5 * max(alike) if alike else 0.0

    return min(offered, key=seen, default=None)


def best_of(space: Space, study: Sequence[Kernel]) -> list[Point]:
    """The best fifth of the points that passed, and four at least, best first."""
    passed = sorted((k for k in study if k.passed), key=certain_speedup, reverse=True)
    return [space.point(k) for k in passed[: max(_FEWEST, int(_SHARE * len(passed)))]]


def exchanged(
    space: Space, study: Sequence[Kernel], room: Room, rng: random.Random
) -> Point | None:
    """One of the best points with another choice of one parameter; None: nothing is left.

    Which of the best is drawn evenly. Parameters are drawn by how much they were seen to matter,
    so that trials are not spent on one that changes nothing.

    Args:
        space: The points.
        study: The judged kernels.
        room: Those that may be proposed.
        rng: Draws the point, the parameter and its choice.
    """
    best = best_of(space, study)
    weights = effects(space, study)
    for _ in range(_DRAWS if best and any(weights) else 0):
        point = rng.choice(best)
        (at,) = rng.choices(range(len(weights)), weights)
        others = [
            other
            for choice in space.choices[space.names[at]]
            if (other := (*point[:at], choice, *point[at + 1 :])) in room
        ]
        if others:
            return rng.choice(others)
    return room.one(rng)


def effects(space: Space, study: Sequence[Kernel]) -> list[float]:
    """How much each parameter was seen to matter; 0 for one without a choice.

    Measured points that differ in one parameter alone are compared: by how much their log speedups
    differ on average, over the mean of all parameters. What is slower than the middle counts as
    the middle, and so does what failed.
    """
    logs = [k.evaluation.speedup.log for k in study if k.evaluation.speedup]
    floor = median(logs) if logs else 0.0
    scores = [
        (space.ranks(space.point(k)), max(s.log, floor) if (s := k.evaluation.speedup) else floor)
        for k in _telling(study)
    ]
    sums, counts = [0.0] * len(space.names), [0] * len(space.names)
    for (a, high), (b, low) in combinations(scores, 2):
        if high == low == floor:
            continue
        differing = [at for at, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
        if len(differing) == 1:
            sums[differing[0]] += abs(high - low)
            counts[differing[0]] += 1
    mean = sum(sums) / sum(counts) if any(sums) else 1.0
    return [
        (total / mean + _WEIGHT) / (count + _WEIGHT) if len(choices) > 1 else 0.0
        for total, count, choices in zip(sums, counts, space.choices.values(), strict=True)
    ]


def _telling(study: Sequence[Kernel]) -> Sequence[Kernel]:
    if len(study) <= _COMPARED:
        return study
    ranked = sorted(study, key=certain_speedup, reverse=True)[: _COMPARED // 2]
    kept = {k.number for k in (*ranked, *study[-(_COMPARED // 2) :])}
    return [k for k in study if k.number in kept]
