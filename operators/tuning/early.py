"""When a trial need not be timed to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.tuning.inheritance import certain_speedup
from populations.parameters import skeleton

if TYPE_CHECKING:
    from populations.kernel import Candidate
    from populations.lineage import Lineage


def hopeless(candidate: Candidate, lineage: Lineage, share: float) -> dict[str, float]:
    """Speedups below which a trial is of no interest, by workload.

    What a trial is for is to beat the best point of its skeleton. One that is clearly slower is
    known well enough after a few pairs, the way an unpromising trial is pruned in a study.

    Args:
        candidate: A point that the tuner proposed.
        lineage: Every kernel judged so far.
        share: Of the best point's speedup.

    Returns:
        Workload -> speedup; nothing before a point of the skeleton has passed.
    """
    siblings = lineage.same_skeleton(skeleton(candidate.source))
    best = max(siblings, key=certain_speedup, default=None)
    if best is None or share <= 0:
        return {}
    return {t.workload: share * t.speedup.value for t in best.evaluation.timings}
