"""Whether a right kernel can be held to an answer of the reference.

On inputs that the problem did not draw the reference may overflow, return zeros or amplify the
rounding of its inputs. A question that a right kernel may fail, or that a wrong one must pass, is
not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from fitness.correctness import LEAST_SCALE, Expected
from fitness.reference import Result
from fitness.strain import strain

# Moving inputs by one unit in their last places may use up this share of the error allowed.
FAIR = 0.25
# Of the largest input, what must come out for its size to have passed through unchanged.
_REACHES = 1e-3


class Skipped(Exception):
    """A question cannot be asked of this problem; says why."""


def require_fair(
    expected: Sequence[Expected],
    own: Sequence[Expected],
    result: Result,
    shaken: Callable[[], Sequence[torch.Tensor] | None],
) -> None:
    """Raise Skipped for an answer that no kernel can be held to.

    Args:
        expected: The answer.
        own: The answer to inputs that the problem drew.
        result: What `expected` was made of.
        shaken: Gives the golden outputs for inputs changed in their last places
            (`Reference.shaken`), or None where there are none.
    """
    for number, (now, native) in enumerate(zip(expected, result.native, strict=True)):
        finite = number < len(own) and own[number].special is None
        if now.special is not None and finite:
            raise Skipped("the reference is not finite")
        if strain(now, native) > 1:
            raise Skipped("the reference itself is not within the tolerance")
    if _within(expected, [torch.zeros_like(t) for t in result.native], 1.0):
        raise Skipped("zeros would pass")
    moved = shaken()
    if moved is None:
        return
    if result.method == "native":
        raise Skipped("the reference says something else in float64")
    if not _within(expected, moved, FAIR):
        raise Skipped("the last places of the inputs decide")


def _within(expected: Sequence[Expected], outputs: Sequence[torch.Tensor], share: float) -> bool:
    """Whether outputs use up no more than a share of the error allowed."""
    if [tuple(o.shape) for o in outputs] != [e.spec.shape for e in expected]:
        return False
    return all(strain(e, o) <= share for e, o in zip(expected, outputs, strict=True))


def to_scale(expected: Sequence[Expected], own: Sequence[Expected]) -> tuple[Expected, ...]:
    """A problem's atol is meant for its own inputs: it grows and shrinks with the outputs."""
    found = []
    for number, now in enumerate(expected):
        before = own[number] if number < len(own) else now
        if now.tolerance is not None and before.scale > LEAST_SCALE:
            atol, rtol = now.tolerance
            found.append(replace(now, tolerance=(atol * now.scale / before.scale, rtol)))
        else:
            found.append(now)
    return tuple(found)


def reaches(inputs: Sequence[torch.Tensor], expected: Sequence[Expected]) -> bool:
    """Whether extreme inputs come out as such.

    Otherwise something is computed of them on the way, and where that overflows depends on the
    order of its steps.
    """
    largest = [float(t.abs().max()) for t in inputs if t.is_floating_point() and t.numel()]
    out = [float(e.values.abs().max()) for e in expected if e.values.numel()]
    return max(out, default=0.0) > _REACHES * max(largest, default=0.0)
