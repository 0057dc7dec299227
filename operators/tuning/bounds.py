"""What failed for want of resources, and which points need no less.

A larger tile, a further stage or another warp needs more shared memory, registers or threads, and
hardly ever less. So a point that is nowhere smaller than one that did not fit is held back, as long
as nothing contradicts it. This is an inference, so it decides only what comes first: such points
are proposed when nothing else is left. A source's own constraints (`populations.constraints`) are
what rules points out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from operators.tuning.shared import SharedMemory, shared_memory
from operators.tuning.space import Space, space_of
from populations.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from operators.tuning.space import Point
    from populations.kernel import Kernel
    from populations.parameters import Value

# What toolchains and drivers say when a kernel is too large; all of them speak of a limit that more
# of the same cannot get under.
_RESOURCES = re.compile(
    r"out of resource|OutOfResources|too many resources requested|uses too much shared"
    r"|too much shared memory|exceeds? (?:the )?(?:maximum|available) (?:shared|register|thread)"
    r"|insufficient (?:shared|register) memory",
    re.IGNORECASE,
)
_FAILED = (Outcome.COMPILE_ERROR, Outcome.RUNTIME_ERROR)


def lacked_resources(kernel: Kernel) -> bool:
    """Whether a kernel failed because it needs more than the device has, by its own diagnostics."""
    evaluation = kernel.evaluation
    return evaluation.outcome in _FAILED and bool(_RESOURCES.search(evaluation.diagnostics))


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a study has shown about what fits.

    Attributes:
        space: The points.
        failed: Points that lacked resources.
        fitted: Points that ran.
        shared: Estimates shared memory; None where too little is known.
    """

    space: Space
    failed: tuple[Point, ...]
    fitted: tuple[Point, ...]
    shared: SharedMemory | None = None

    def likely(self, point: Point) -> bool:
        """Whether a point may fit, for all that is known."""
        if any(_needs_no_less(self.space, point, failed) for failed in self.failed):
            return False
        return self.shared is None or self.shared.fits(point)


def bounds_of(
    space: Space,
    study: Iterable[Kernel],
    before: Iterable[Kernel] = (),
    facts: Mapping[str, Value] | None = None,
) -> Bounds:
    """Learn from the judged kernels of a skeleton, and from those of its parent's.

    A failure that a larger point which ran contradicts is no evidence: then more of a parameter
    needs less there (a count of splits, say).

    Args:
        space: The skeleton's points.
        study: Its judged kernels.
        before: Judged kernels of the skeleton that it was made from; those without the same
            parameters are passed over.
        facts: What is known of the device, by the names of `populations.constraints.FACTS`.
    """
    own = list(study)
    kernels = own + [k for k in before if _same_space(space, k)]
    points = [(k, space.point(k)) for k in kernels]
    fitted = tuple(point for kernel, point in points if kernel.passed)
    failed = tuple(
        point
        for kernel, point in points
        if lacked_resources(kernel)
        and not any(_needs_no_less(space, larger, point) for larger in fitted)
    )
    return Bounds(space, failed, fitted, shared_memory(space, own, facts or {}))


def _needs_no_less(space: Space, point: Point, other: Point) -> bool:
    """Whether a point is nowhere smaller than another, and equal where nothing is smaller."""
    pairs = zip(space.ranks(point), space.ranks(other), space.ordered, strict=True)
    return all(x >= y if ordered else x == y for x, y, ordered in pairs)


def _same_space(space: Space, kernel: Kernel) -> bool:
    """Whether a kernel of another skeleton stands at a point of this space."""
    return space_of([kernel]).choices.keys() == space.choices.keys() and all(
        value in choices
        for value, choices in zip(space.point(kernel), space.choices.values(), strict=True)
    )
