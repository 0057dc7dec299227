"""The parts of a prompt: each a pure function of records."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from operators.llm import history
from operators.llm.context import Cut, Part
from operators.llm.fence import one_line
from operators.llm.prompts import spoken
from operators.operator import Brief, Passage
from populations.constraints import faults
from populations.kernel import Kernel
from populations.lineage import Lineage
from populations.outcome import Timing

# The heading of a passage from a knowledge document.
NOTES = "From the notes"
# Lines of a difference between two kernels that are worth showing.
_MOST_DIFFERENCE = 160
# Lines of a parent's diagnosis that are worth showing beside the kernel's own.
_MOST_BEFORE = 8


def problem(brief: Brief) -> Part:
    """The problem file."""
    return Part(
        "Problem",
        brief.problem,
        rank=0,
        lead="The reference is `Model`; what its `forward` returns is what yours must return.",
        info="python",
    )


def target(brief: Brief) -> Part:
    """The device, and how fast the baselines are on it."""
    return Part("Device", brief.target, rank=2, cut=Cut.END)


def baselines(brief: Brief) -> Part:
    """Every baseline's time on every workload."""
    rows = []
    for workload in brief.workloads:
        times = sorted(brief.baselines_ms.get(workload, {}).items(), key=lambda item: item[1])
        told = ", ".join(f"{name} {_ms(ms)}" for name, ms in times)
        rows.append(f"{workload}: {told}" if told else workload)
    return Part(
        "Workloads and baselines",
        "\n".join(rows),
        rank=1,
        lead="Milliseconds of one call, the fastest baseline first: that is the one to beat.",
        cut=Cut.END,
    )


def angle(text: str) -> Part:
    """What this proposal is to look at first."""
    lead = (
        "Several are asked about this. Look at this side of it first, unless another matters more:"
    )
    return Part("Angle", text, rank=4, lead=lead)


def kernel_source(title: str, kernel: Kernel) -> Part:
    """A kernel's module."""
    candidate = kernel.candidate
    return Part(
        f"{title}: kernel {kernel.number}",
        candidate.source,
        rank=0,
        lead=f"Written in {spoken(candidate.language)}.",
        info="python",
    )


def times(kernel: Kernel) -> Part:
    """What a kernel that passed takes on each workload, beside baseline and roofline."""
    evaluation = kernel.evaluation
    rows = [_time_row(timing, evaluation.details) for timing in evaluation.timings]
    if evaluation.speedup is not None:
        s = evaluation.speedup
        rows.append(f"all workloads: {s.value:.3g}x [{s.low:.3g}, {s.high:.3g}]")
    return Part(
        f"Times of kernel {kernel.number}",
        "\n".join(rows),
        rank=1,
        lead="Against the fastest baseline of each workload; intervals are 95%.",
        cut=Cut.END,
    )


def comparison(best: Kernel, other: Kernel) -> Part:
    """Two kernels workload by workload: which is faster where, and by how much."""
    theirs = {timing.workload: timing for timing in other.evaluation.timings}
    rows = []
    for timing in best.evaluation.timings:
        if (against := theirs.get(timing.workload)) is None:
            continue
        # Ratios to the baseline, not times: each pair was measured at the same moment.
        ratio = timing.speedup.value / against.speedup.value
        winner, factor = (best, ratio) if ratio >= 1 else (other, 1 / ratio)
        sure = (
            timing.speedup.low > against.speedup.high or against.speedup.low > timing.speedup.high
        )
        rows.append(
            f"{timing.workload}: kernel {best.number} {_ms(timing.candidate_ms)} "
            f"({timing.speedup.value:.3g}x), kernel {other.number} {_ms(against.candidate_ms)} "
            f"({against.speedup.value:.3g}x): "
            + (f"kernel {winner.number} is {factor:.3g} times as fast" if sure else "no difference")
        )
    return Part("What each does better", "\n".join(rows), rank=1, cut=Cut.END)


def diagnostics(kernel: Kernel, before: Kernel | None = None, *, rank: int = 1) -> Part:
    """What judging a kernel brought to light: messages, and what compilers and profilers said.

    Args:
        kernel: The kernel.
        before: The one it was made from: what was said of that one alone is told too.
        rank: The part's.
    """
    evaluation = kernel.evaluation
    diagnosis = _diagnosis(kernel)
    texts = [evaluation.diagnostics.strip(), *diagnosis]
    if before is not None and diagnosis:
        gone = [text for text in _diagnosis(before) if text not in diagnosis]
        texts += [f"kernel {before.number} had: {text.strip()}" for text in gone[:_MOST_BEFORE]]
    policy = evaluation.details.get("policy")
    if isinstance(policy, list):
        texts += [str(finding) for finding in policy if str(finding).startswith("flag")]
    texts += faults(kernel.source)
    if not kernel.passed:
        texts.insert(0, history.fate(kernel).partition(":")[0])
    return Part(
        f"Diagnostics of kernel {kernel.number}",
        "\n".join(text for text in texts if text),
        rank=rank,
        cut=Cut.MIDDLE,
    )


def difference(before: Kernel, after: Kernel) -> Part:
    """What was changed from one kernel to another."""
    lines = list(
        difflib.unified_diff(
            before.source.splitlines(),
            after.source.splitlines(),
            f"kernel {before.number}",
            f"kernel {after.number}",
            lineterm="",
            n=2,
        )
    )
    text = "\n".join(lines) if len(lines) <= _MOST_DIFFERENCE else ""
    lead = f"Kernel {before.number}: {history.fate(before)}." if before.passed else ""
    return Part(
        f"What was changed from kernel {before.number} to kernel {after.number}",
        text,
        rank=2,
        lead=lead,
        info="diff",
    )


def ancestry(kernel: Kernel, lineage: Lineage) -> Part:
    """How a kernel came to be."""
    lead = "From this kernel back to the first: who made it, what was done, what came of it."
    text = history.ancestry(kernel, lineage)
    return Part(f"How kernel {kernel.number} came to be", text, rank=3, lead=lead, cut=Cut.END)


def attempts(title: str, kernels: Sequence[Kernel], lineage: Lineage) -> Part:
    """What was tried, and what came of it."""
    lead = "The best of those that ran, then the newest of those that failed."
    return Part(title, history.attempts(kernels, lineage), rank=3, lead=lead, cut=Cut.END)


def divergence(a: Kernel, b: Kernel, lineage: Lineage) -> Part:
    """What two kernels changed since they parted."""
    text = history.divergence(a, b, lineage)
    return Part("How they came apart", text, rank=2, cut=Cut.END)


def knowledge(passages: Sequence[Passage]) -> list[Part]:
    """Passages of documents, a part each."""
    return [
        Part(
            NOTES,
            f"{one_line(passage.title, 120)}\n\n{passage.text}",
            rank=4,
            cut=Cut.END,
        )
        for passage in passages
    ]


def _time_row(timing: Timing, details: Mapping[str, Any]) -> str:
    s = timing.speedup
    row = (
        f"{timing.workload}: {_ms(timing.candidate_ms)}, {timing.baseline} "
        f"{_ms(timing.baseline_ms)}, {s.value:.3g}x [{s.low:.3g}, {s.high:.3g}]"
    )
    floor = _of_workload(details, "roofline", timing.workload)
    if (share := _number(floor.get("share"))) is not None:
        row += f", {share:.0%} of the roofline"
        if (roofline := _number(floor.get("roofline_ms"))) is not None:
            row += f" ({_ms(roofline)})"
    own = _of_workload(details, "own_share", timing.workload)
    if (share := _number(own.get("own_share"))) is not None:
        row += f", {share:.0%} of the time in its own kernels"
    return row


def _of_workload(details: Mapping[str, Any], key: str, workload: str) -> Mapping[str, Any]:
    """An entry of `details[key][workload]`; empty when it is not there or of another kind."""
    table = details.get(key)
    entry = table.get(workload) if isinstance(table, Mapping) else None
    return entry if isinstance(entry, Mapping) else {}


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None  # type: ignore[arg-type]


def _diagnosis(kernel: Kernel) -> list[str]:
    """The lines of an evaluation's diagnosis; none where it is of another kind."""
    lines = kernel.evaluation.details.get("diagnosis")
    return [str(text) for text in lines] if isinstance(lines, list | tuple) else []


def _ms(ms: float) -> str:
    return f"{ms:.4g} ms"
