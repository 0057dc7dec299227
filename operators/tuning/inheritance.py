"""A child's first point: the best one known for its parent's skeleton."""

from __future__ import annotations

from typing import TYPE_CHECKING

from populations.constraints import constraints, feasible
from populations.parameters import Value, adopt, skeleton, values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from populations.kernel import Kernel
    from populations.lineage import Lineage


def inherit(
    source: str, parent: Kernel, lineage: Lineage, facts: Mapping[str, Value] | None = None
) -> str:
    """Give a child the best launch parameters known for its parent's skeleton.

    Called once on a new variation's source before it is judged, so that the child's first trial is
    its parent's best point. A value that the operator itself changed stays, and so does one whose
    name or choices the child does not have. Where the child's own constraints refuse what comes
    out, it keeps its values.

    Args:
        source: The child's.
        parent: Its first parent.
        lineage: Every kernel judged so far.
        facts: What is known of the device, for the child's constraints.
    """
    siblings = lineage.same_skeleton(skeleton(parent.source))
    best = max(siblings, key=certain_speedup, default=parent)
    before, now = values(parent.source), values(source)
    untouched = {
        name: value
        for name, value in values(best.source).items()
        if name in now and now[name] == before.get(name)
    }
    child = adopt(source, untouched)
    return child if feasible(values(child), constraints(source), facts or {}) else source


def certain_speedup(kernel: Kernel) -> tuple[float, float, int]:
    """Order between points of one skeleton: the lower end of the interval, then its middle."""
    speedup = kernel.evaluation.speedup
    return (speedup.low, speedup.value, -kernel.number) if speedup else (0.0, 0.0, -kernel.number)
