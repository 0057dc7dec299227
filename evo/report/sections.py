"""The report's parts, top to bottom; each turns the run's data into markup."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from typing import TYPE_CHECKING

from evo.report.code import difference, source_listing
from evo.report.markup import Column, Markup, element, grid, join, td
from evo.tables import (
    NOTHING,
    PROVISIONAL,
    baseline_names,
    format_duration,
    format_interval,
    format_ms,
    format_ratio,
    format_speedup,
    one_line,
)
from populations.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evo.report.data import RunData
    from evo.report.markup import Content
    from evo.tables import WorkloadRow
    from populations.kernel import Kernel
    from populations.outcome import Speedup


def headline(data: RunData) -> Markup:
    """What came out, in one figure, and under which circumstances."""
    best, speedup = data.best, data.headline
    if best is None or speedup is None:
        figure = element("p", "No kernel passed", class_="figure")
        sentence = "Every kernel failed a check; the outcomes below say which."
    else:
        figure = element(
            "p",
            element("span", format_ratio(speedup.value), class_=_judgement(speedup)),
            " ",
            element("small", f"{format_interval(speedup)}, 95% interval"),
            class_="figure",
        )
        sentence = _claim(data, speedup)
    passed = sum(kernel.passed for kernel in data.kernels)
    facts = {
        "champion": (_who(best) if best else "none") + (PROVISIONAL if data.provisional else ""),
        "device": data.device,
        "evaluations": f"{len(data.kernels)}, {passed} passed every check",
        "wall time": format_duration(data.spent.wall_s),
        "device time": f"{format_duration(data.spent.device_s)} for timing",
        "random seed": str(data.random_seed),
        "stopped": data.reason,
    }
    if data.spent.cost_usd:
        facts["model calls"] = f"${data.spent.cost_usd:.2f}"
    return join(
        element("h1", f"evo: {data.experiment}"), figure, element("p", sentence), _facts(facts)
    )


def workload_table(rows: Sequence[WorkloadRow]) -> Markup:
    """Seed, baselines and champion per workload."""
    if not rows:
        return element("p", "Nothing was measured at the end.", class_="quiet")
    names = baseline_names(rows)
    head: list[Column] = [("workload", "text"), ("seed", None)]
    head += [(name, None) for name in names]
    head += [("champion", None), ("speedup", None), ("over", "text")]
    body = []
    for row in rows:
        fastest = min(row.baselines_ms.values(), default=None)
        cells = [td(row.workload, "text"), td(format_ms(row.seed_ms))]
        for name in names:
            value = row.baselines_ms.get(name)
            is_fastest = value is not None and value == fastest
            cells.append(td(format_ms(value), "fastest" if is_fastest else None))
        cells.append(td(format_ms(row.champion_ms), "strong"))
        cells.append(
            td(format_speedup(row.speedup), _judgement(row.speedup) if row.speedup else None)
        )
        cells.append(td(row.baseline or NOTHING, "text"))
        body.append(cells)
    note = (
        "Median milliseconds of one call. The speedup is the median of ratios measured in pairs, "
        "one call of the champion beside one of the baseline it stands against, with its 95% "
        "interval. The fastest baseline is underlined."
    )
    return join(grid(head, body), element("p", note, class_="note"))


def champion_path(data: RunData) -> Markup:
    """How the champion came about, step by step along first parents."""
    if not data.path:
        return element("p", "There is no champion.", class_="quiet")
    head: list[Column] = [("kernel", "text"), ("operator", "text"), ("what it did", "text")]
    head += [("speedup", None), ("gain", None)]
    body = []
    before: Speedup | None = None
    for kernel in data.path:
        candidate, speedup = kernel.candidate, kernel.evaluation.speedup
        with_ = ", ".join(f"#{number}" for number in candidate.parents[1:])
        note = f"{one_line(candidate.note)}{f' (with {with_})' if with_ else ''}"
        gain = format_ratio(speedup.value / before.value) if speedup and before else NOTHING
        body.append(
            [
                td(f"#{kernel.number}", "text"),
                td(candidate.operator, "text"),
                td(note, "text free"),
                td(format_speedup(speedup) if speedup else _words(kernel.evaluation.outcome)),
                td(gain),
            ]
        )
        before = speedup or before
    legend = "Speedups are those measured during the search, gain is over the kernel before."
    return join(grid(head, body), element("p", legend, class_="note"))


def champion_source(data: RunData) -> Markup:
    """The champion's difference from its first ancestor, what was found out, and its source."""
    if (best := data.best) is None:
        return element("p", "There is no champion.", class_="quiet")
    seed = data.path[0]
    names = (f"#{seed.number} {seed.candidate.operator}", f"#{best.number} champion")
    first = "seed" if seed.candidate.operator == "seed" else "first kernel"
    changed = difference(seed.source, best.source, names=names)
    told = best.evaluation.details.get("diagnosis")
    diagnosis = "\n".join(map(str, told)) if isinstance(told, list) else ""
    return join(
        element("h2", f"Champion, difference from the {first}"),
        changed or element("p", f"The champion is the {first} itself.", class_="quiet"),
        element("h2", "Champion, diagnosis") if diagnosis else None,
        element("pre", diagnosis, class_="code", tabindex="0") if diagnosis else None,
        element("h2", "Champion, source"),
        source_listing(best.source),
    )


def operator_table(data: RunData) -> Markup:
    """What each operator's kernels came to, most used first."""
    groups: dict[str, list[Kernel]] = {}
    for kernel in data.kernels:
        groups.setdefault(kernel.candidate.operator, []).append(kernel)
    seen = Counter(kernel.evaluation.outcome for kernel in data.kernels)
    outcomes = [outcome for outcome in reversed(Outcome) if seen[outcome]]
    head: list[Column] = [("operator", "text"), ("kernels", None)]
    head += [(_words(outcome), None) for outcome in outcomes]
    head += [("champions", None), ("best", None), ("median gain", None)]
    improved = frozenset(data.improvements)
    body = []
    for name in sorted(groups, key=lambda name: (-len(groups[name]), name)):
        kernels = groups[name]
        counts = Counter(kernel.evaluation.outcome for kernel in kernels)
        best = max((s.value for k in kernels if (s := k.evaluation.speedup)), default=None)
        cells: list[Content] = [name, len(kernels), *(counts[o] or NOTHING for o in outcomes)]
        cells.append(sum(kernel.number in improved for kernel in kernels) or NOTHING)
        cells.append(format_ratio(best) if best else NOTHING)
        cells.append(_median_gain(kernels, data.by_number))
        body.append([td(cell, None if i else "text") for i, cell in enumerate(cells)])
    note = "Median gain: speedup over the first parent's, among the kernels that passed."
    return join(grid(head, body), element("p", note, class_="note"))


def circumstances(data: RunData) -> Markup:
    """How to repeat the run, versions and device facts, baselines as first measured, settings."""
    parts: list[Content] = []
    if data.reproduce:
        parts += [element("h2", "How to repeat it"), element("pre", data.reproduce.strip())]
    if data.facts:
        parts += [element("h2", "Versions and device"), _facts(data.facts)]
    if data.baselines:
        names = list(dict.fromkeys(name for times in data.baselines.values() for name in times))
        body = [
            [td(workload, "text"), *(td(format_ms(times.get(name))) for name in names)]
            for workload, times in data.baselines.items()
        ]
        head: list[Column] = [("workload (ms)", "text")]
        parts += [element("h2", "Baselines before the search")]
        parts += [grid([*head, *((name, None) for name in names)], body)]
    if data.config:
        parts += [element("h2", "Settings"), element("pre", data.config.strip("\n"))]
    return join(*parts)


def _claim(data: RunData, speedup: Speedup) -> str:
    against = list(dict.fromkeys(row.baseline for row in data.table if row.baseline))
    over = f" ({', '.join(against)})" if against else ""
    count = len([row for row in data.table if row.speedup])
    if count > 1:
        sentence = (
            f"Geometric mean over {count} workloads, each against its fastest baseline{over}."
        )
    else:
        sentence = f"Measured against the fastest baseline{over}."
    if speedup.high < 1:
        sentence += " It is slower."
    elif speedup.low <= 1:
        sentence += " The interval does not exclude that it is no faster."
    return sentence


def _who(kernel: Kernel) -> str:
    operator = kernel.candidate.operator
    return (
        f"#{kernel.number}, {f'by {operator}' if kernel.candidate.parents else f'the {operator}'}"
    )


def _judgement(speedup: Speedup) -> str | None:
    return "good" if speedup.low > 1 else "bad" if speedup.high < 1 else None


def _median_gain(kernels: Iterable[Kernel], by_number: Mapping[int, Kernel]) -> str:
    gains = []
    for kernel in kernels:
        parents = kernel.candidate.parents
        parent = by_number[parents[0]].evaluation.speedup if parents else None
        if (own := kernel.evaluation.speedup) and parent:
            gains.append(own.log - parent.log)
    return format_ratio(math.exp(statistics.median(gains))) if gains else NOTHING


def _words(outcome: Outcome) -> str:
    return outcome.replace("_", " ")


def _facts(facts: Mapping[str, str]) -> Markup:
    return element(
        "dl", [(element("dt", label), element("dd", text)) for label, text in facts.items()]
    )
