"""Neighbours of the best points that a model knows least about, in turn with what it promises.

Expected improvement trusts its model: where the model is sure of a slow choice of one parameter it
never looks whether that choice is the best one together with another. A change of one parameter
drawn blindly does look (`operators.tuning.elites`), but much of what it draws is known in effect:
of four choices that change nothing one tells all. So every other trial goes to the point that
differs in one parameter from one of the best and is the most uncertain under the model: uncertainty
sampling (Lewis and Gale 1994) within the one-exchange neighbourhood (Hutter, Hoos and Stuetzle
2007). There the model says only what it does not know, never that a point is not worth a trial.

Of the other trials half have the largest expected improvement and half the largest expected value,
which measures what lies close around the best, too well known to promise an improvement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.tuning.elites import best_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from operators.tuning.expected import Outlook
    from operators.tuning.space import Point, Space
    from populations.kernel import Kernel

# Deviations are compared to so many digits, so that the order of two sums decides nothing.
_DIGITS = 9


def chosen(space: Space, study: Sequence[Kernel], known: Outlook, turn: int) -> Point:
    """The point of one trial.

    Args:
        space: The points.
        study: The judged kernels.
        known: What a model says of the points that are left.
        turn: How many trials were begun before this one.
    """
    point = doubtful(space, study, known) if turn % 2 else None
    if point is not None:
        return point
    if turn % 4 == 2:
        return known.left[int(known.mean.round(_DIGITS).argmax())]
    return known.prospect().point


def doubtful(space: Space, study: Sequence[Kernel], known: Outlook) -> Point | None:
    """The least known point that differs from one of the best in a single parameter.

    Args:
        space: The points.
        study: The judged kernels.
        known: What a model says of the points that are left.

    Returns:
        The point; None where no neighbour of the best is left.
    """
    import numpy as np

    best = best_of(space, study)
    if not best:
        return None
    left = np.array([space.ranks(point) for point in known.left])
    near = np.zeros(len(left), dtype=bool)
    for point in best:
        near |= (left != np.array(space.ranks(point))).sum(1) == 1
    if not near.any():
        return None
    return known.left[int(np.where(near, known.deviation, -1.0).round(_DIGITS).argmax())]
