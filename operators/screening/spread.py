"""Points of launch parameters to choose from: some near a kernel, some anywhere.

What suits a parent need not suit a child with another structure: beside the point that it inherits,
others are offered.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from operators.tuning.space import Point, Space, space_of_source
from populations.constraints import constraints, feasible
from populations.parameters import Value, values, with_values

# Share of the points that are drawn from all; the others are few steps away.
_ANYWHERE = 0.5
# Chance that one more step is made.
_FURTHER = 0.5
# Draws for each point that is wanted: some come twice, some are refused.
_DRAWS = 4


def spread(
    source: str, count: int, rng: random.Random, facts: Mapping[str, Value] | None = None
) -> tuple[str, ...]:
    """A kernel at other launch parameters; fewer than `count` where there are few.

    Points that the kernel's own constraints refuse are not among them.

    Args:
        source: The kernel.
        count: How many at most.
        rng: Draws them.
        facts: What is known of the device, for the constraints.
    """
    space, here = space_of_source(source), tuple(values(source).values())
    if space.size < 2:
        return ()
    rules, found = constraints(source), dict[Point, None]()
    for _ in range(_DRAWS * count):
        if len(found) == count:
            break
        point = space.drawn(rng) if rng.random() < _ANYWHERE else _near(space, here, rng)
        if point != here and feasible(space.named(point), rules, facts or {}):
            found[point] = None
    return tuple(with_values(source, space.named(point)) for point in found)


def _near(space: Space, point: Point, rng: random.Random) -> Point:
    while True:
        point = rng.choice(list(space.neighbours(point)))
        if rng.random() >= _FURTHER:
            return point
