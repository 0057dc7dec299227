"""What worked, taken out of a run's lineage, for runs to come.

An improvement is a kernel that is faster than the parent it was made from. Both were measured
against the same baselines, each with an interval; the gain is the ratio of the two speedups, and
its interval combines both (on the logarithm, as independent errors). Many children are compared, so
some gains are luck even so; the interval is kept with each entry, and whoever reads it may ask for
more.

Everything here is a function of records. `operators.knowledge.shelf` keeps them in files.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from operators.knowledge.records import Champion, Entry, Setting
from populations.analysis.steps import ratio
from populations.kernel import Kernel
from populations.lineage import Lineage
from populations.outcome import Evaluation, Speedup
from populations.parameters import skeleton

# Lines of a difference that are kept, characters of each, and characters of a note.
_DIFF_LINES = 80
_LINE = 160
_NOTE = 300


def distill(
    lineage: Lineage, *, setting: Setting, least_gain: float = 1.05, most: int = 100
) -> list[Entry]:
    """What worked in a run: its improvements, greatest lower end first.

    An improvement gains at least `least_gain`, and its interval excludes 1. Parent and child must
    have passed, and been timed on the same workloads against the same baselines; of two parents
    the faster one counts. Of those with one technique and one skeleton only the surest is kept, so
    that a study of launch parameters is one entry.
    """
    found: dict[tuple[str, ...], Entry] = {}
    for kernel in lineage.kernels.values():
        entry = _improvement(kernel, lineage, setting)
        if entry is None or entry.gain.value < least_gain or entry.gain.low <= 1.0:
            continue
        known = found.get(entry.key)
        if known is None or entry.gain.low > known.gain.low:
            found[entry.key] = entry
    return sorted(found.values(), key=lambda e: (-e.gain.low, e.after))[:most]


def champion(kernel: Kernel, *, setting: Setting) -> Champion | None:
    """The record of a run's best kernel; None for one that has not passed."""
    speedup, candidate = kernel.evaluation.speedup, kernel.candidate
    if speedup is None:
        return None
    return Champion(
        source=candidate.source,
        language=candidate.language,
        digest=candidate.digest,
        skeleton=skeleton(candidate.source),
        speedup=speedup,
        setting=setting,
    )


def first_individuals(
    champions: Iterable[Champion],
    *,
    content: str,
    language: str,
    target: str = "",
    count: int = 3,
) -> list[Champion]:
    """Earlier champions of the same problem file and language, one of each skeleton.

    Those of the same target come first, each group by the lower end of its speedup. They are
    first kernels like any other: the judge trusts nothing that is said of them here.
    """
    fitting = [c for c in champions if c.setting.content == content and c.language == language]
    fitting.sort(key=lambda c: (c.setting.target != target, -c.speedup.low, c.digest))
    distinct = {c.skeleton: c for c in reversed(fitting)}
    return [c for c in fitting if distinct[c.skeleton] is c][:count]


def _improvement(kernel: Kernel, lineage: Lineage, setting: Setting) -> Entry | None:
    """A kernel beside its best comparable parent; None where there is none."""
    candidate, evaluation = kernel.candidate, kernel.evaluation
    parents = [lineage.get(number) for number in candidate.parents]
    pairs = [(p, _gain(p.evaluation, evaluation)) for p in parents]
    measured = [(p, gain) for p, gain in pairs if gain is not None]
    if not measured or len(measured) < len([p for p in parents if p.passed]):
        return None
    parent, gain = min(measured, key=lambda pair: (pair[1].value, pair[0].number))
    return Entry(
        technique=" ".join(candidate.note.split())[:_NOTE] or candidate.operator,
        operator=candidate.operator,
        language=candidate.language,
        skeleton=skeleton(candidate.source),
        before=parent.candidate.digest,
        after=candidate.digest,
        gain=gain,
        gains=dict(_by_workload(parent.evaluation, evaluation)),
        diff=_difference(parent.source, candidate.source),
        setting=setting,
    )


def _gain(before: Evaluation, after: Evaluation) -> Speedup | None:
    """How much faster `after` is, with an interval; None where the two cannot be compared."""
    if _baselines(before) != _baselines(after):
        return None
    return ratio(before.speedup, after.speedup)


def _baselines(evaluation: Evaluation) -> dict[str, str]:
    return {timing.workload: timing.baseline for timing in evaluation.timings}


def _by_workload(before: Evaluation, after: Evaluation) -> Iterator[tuple[str, float]]:
    old = {timing.workload: timing.speedup.value for timing in before.timings}
    for timing in after.timings:
        yield timing.workload, round(timing.speedup.value / old[timing.workload], 4)


def _difference(before: str, after: str) -> str:
    """A unified difference without its header, cut to a length that a prompt can bear."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=2, lineterm="")
    kept = [line[:_LINE] for line in lines][2:]
    if len(kept) > _DIFF_LINES:
        kept[_DIFF_LINES:] = [f"... {len(kept) - _DIFF_LINES} more lines"]
    return "\n".join(kept)
