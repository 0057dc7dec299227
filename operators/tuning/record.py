"""A judged kernel as a trial of its skeleton, for the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from populations.parameters import skeleton, values
from populations.rows import Trial

if TYPE_CHECKING:
    from populations.kernel import Kernel


def trial_of(kernel: Kernel) -> Trial:
    """The record of a judged kernel as a trial of its skeleton, for `Store.add_trial`."""
    speedup = kernel.evaluation.speedup
    return Trial(
        number=kernel.number,
        skeleton=skeleton(kernel.source),
        params=values(kernel.source),
        value=speedup.log if speedup else None,
        state="complete" if speedup else "fail",
    )
