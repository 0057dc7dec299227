"""A run's ancestry as text: what `evo lineage` prints. Each part is a function of records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evo.tables import (
    NOTHING,
    PROVISIONAL,
    format_count,
    format_duration,
    format_ratio,
    format_speedup,
    one_line,
    text_table,
)
from populations.outcome import Speedup

if TYPE_CHECKING:
    from populations.analysis.credit import Contribution, Names
    from populations.analysis.history import History
    from populations.analysis.steps import Step
    from populations.kernel import Kernel
    from populations.lineage import Lineage

# Characters of a note, rows of the table of windows, dead ends that are listed.
_NOTE = 100
_WINDOWS = 20
_DEAD_ENDS = 10


def headline(history: History, *, name: str, reason: str, closing: Sequence[float] | None) -> str:
    """The run and its champion in two lines.

    Args:
        history: The run.
        name: Of the experiment.
        reason: Why the search ended.
        closing: The champion's speedup when it was measured again: value, low, high.
    """
    count = len(history.heard)
    passed = sum(kernel.passed for kernel in history.kernels.values())
    lines = [f"{name}: {format_count(count, 'evaluation')}, {passed} passed; {reason}"]
    if history.champion is None:
        return "\n".join([*lines, "no kernel passed" if not passed else "there is no champion"])
    kernel = history.kernels[history.champion]
    speedup = Speedup(*closing) if closing else kernel.evaluation.speedup
    standing = "" if closing else PROVISIONAL
    return "\n".join([*lines, f"champion #{kernel.number}: {format_speedup(speedup)}{standing}"])


def path(lineage: Lineage, number: int | None) -> str:
    """From the seed to a kernel: each step with its gain, and workload by workload."""
    from populations.analysis.steps import steps_to

    if number is None:
        return ""
    steps = steps_to(lineage, number)
    header = ("kernel", "speedup", "gain", "operator", "what was done")
    body = [
        (
            f"#{step.kernel.number}",
            _result(step.kernel),
            format_speedup(step.gain),
            step.kernel.candidate.operator,
            _done(step.kernel),
        )
        for step in steps
    ]
    table = text_table(header, body, left=(0, 3, 4))
    return "\n\n".join(part for part in (table, _workloads(steps)) if part)


def common(lineage: Lineage, a: int, b: int) -> str:
    """The nearest common ancestors of two kernels, with the gain of each since."""
    from populations.analysis.steps import ratio

    found = [lineage.get(number) for number in lineage.common_ancestors(a, b)]
    if not found:
        return f"#{a} and #{b} have no ancestor in common"
    ends = [lineage.get(a).evaluation.speedup, lineage.get(b).evaluation.speedup]
    header = ("common ancestor", "speedup", f"gain of #{a}", f"gain of #{b}", "operator")
    body = []
    for kernel in found:
        gains = [format_speedup(ratio(kernel.evaluation.speedup, end)) for end in ends]
        body.append((f"#{kernel.number}", _result(kernel), *gains, kernel.candidate.operator))
    return text_table(header, body, left=(0, 4))


def analysis(history: History) -> list[str]:
    """Everything else, a table with its heading each; tables without rows are left out."""
    from populations.analysis.credit import contributions

    balances = contributions(history, kinds(history))
    return [
        _milestones(history),
        *(_contributions(kind, found) for kind, found in balances.items()),
        _variety(history),
        _dead_ends(history),
    ]


def kinds(history: History) -> dict[str, Names]:
    """Whose contributions are looked for, by kind."""
    from operators.llm.told import passages_told
    from populations.analysis import credit

    return {
        "operator": credit.operators(history),
        "model": credit.models(history),
        "knowledge": credit.passages(passages_told(history.calls)),
        "island": credit.islands(history),
    }


def contribution_cells(one: Contribution) -> tuple[str, ...]:
    """A contribution's path: steps, gain, share of the path's gain, part in all advances."""
    return (
        str(one.steps),
        format_ratio(math.exp(one.log_gain)) if one.steps else NOTHING,
        f"{one.share:.0%}" if one.steps and one.share is not None else NOTHING,
        format_ratio(math.exp(one.log_advance)) if one.log_advance else NOTHING,
    )


def _workloads(steps: Sequence[Step]) -> str:
    """Gains per workload; nothing where there is only one."""
    names = list(dict.fromkeys(name for step in steps for name in step.gains))
    if len(names) < 2:
        return ""
    body = [
        (f"#{step.kernel.number}", *(format_speedup(step.gains.get(name)) for name in names))
        for step in steps
        if step.gains
    ]
    return text_table(("gain on", *names), body)


def _milestones(history: History) -> str:
    from populations.analysis.course import milestones

    found = milestones(history)
    if not found:
        return ""
    header = ("new best", "speedup", "evaluations", "device time", "wall time", "operator")
    body = [
        (
            f"#{one.kernel.number}",
            format_speedup(one.kernel.evaluation.speedup),
            str(one.evaluations),
            format_duration(one.device_s),
            NOTHING if one.wall_s is None else format_duration(one.wall_s),
            one.kernel.candidate.operator,
        )
        for one in found
    ]
    return f"First correct kernel and each new best\n{text_table(header, body, left=(0, 5))}"


def _contributions(kind: str, found: Sequence[Contribution]) -> str:
    if not [one for one in found if one.name]:
        return ""
    paid = any(one.cost_usd for one in found)
    header = [kind, "proposed", "judged", "passed", "improved", "device s"]
    header += ["dollars"] if paid else []
    header += ["steps", "gain", "share", "advances"]
    body = [
        [
            one_line(one.name, _NOTE) or f"no {kind}",
            str(one.proposed),
            str(one.judged),
            str(one.passed),
            str(one.improved),
            f"{one.device_s:.1f}",
            *([f"{one.cost_usd:.2f}"] if paid else []),
            *contribution_cells(one),
        ]
        for one in found
    ]
    titles = {"knowledge": "What knowledge entries stood behind"}
    return f"{titles.get(kind, f'What each {kind} contributed')}\n{text_table(header, body)}"


def _variety(history: History) -> str:
    from populations.analysis.course import WINDOW, evenness, windows
    from populations.analysis.steps import steps_to

    if not history.kernels:
        return ""
    size = WINDOW * math.ceil(len(history.kernels) / (WINDOW * _WINDOWS))
    header = ("kernels", "judged", "passed", "skeletons", "new", "evenness of operators")
    body = [
        (
            f"#{one.first} to #{one.last}",
            str(one.judged),
            str(one.passed),
            str(one.skeletons),
            str(one.new),
            f"{one.evenness:.2f}",
        )
        for one in windows(history.kernels.values(), size=size)
    ]
    lines = ["Variety", text_table(header, body)]
    if history.champion is not None:
        made = [
            s.kernel.candidate.operator for s in steps_to(history.lineage, history.champion)[1:]
        ]
        lines.append(
            f"on the path: {format_count(len(made), 'step')}, "
            f"{format_count(len(set(made)), 'operator')}, evenness {evenness(made):.2f}"
        )
    return "\n".join(lines)


def _dead_ends(history: History) -> str:
    from populations.analysis.dead_ends import dead_ends

    found = dead_ends(history.lineage, champion=history.champion)
    if not found:
        return ""
    header = ("dead end", "result", "descendants", "passed", "operator", "what was done")
    body = [
        (
            f"#{one.kernel.number}",
            _result(one.kernel),
            str(one.descendants),
            str(one.passed),
            one.kernel.candidate.operator,
            _done(one.kernel),
        )
        for one in found[:_DEAD_ENDS]
    ]
    more = len(found) - len(body)
    lines = ["Dead ends: no descendant was surely better", text_table(header, body, left=(0, 4, 5))]
    return "\n".join([*lines, f"and {more} more"] if more else lines)


def _result(kernel: Kernel) -> str:
    speedup = kernel.evaluation.speedup
    return format_speedup(speedup) if speedup else kernel.evaluation.outcome.replace("_", " ")


def _done(kernel: Kernel) -> str:
    """An operator's note; a crossover's other parents stand behind it."""
    others = ", ".join(f"#{number}" for number in kernel.candidate.parents[1:])
    note = one_line(kernel.candidate.note, _NOTE)
    return f"{note} (with {others})" if others else note
