"""docs/ablation.md and its figures, from the runs that are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.ablation.arms import ARMS, DEFAULT, ENDS, ROOT, SERIAL, tables
from benchmarks.ablation.figure import figure
from benchmarks.ablation.live import unpack_live
from benchmarks.ablation.live_report import NAME, live_figure, live_lines, live_section
from benchmarks.ablation.results import NEAR, Interval, Line, curve, leader, lines, unpack
from benchmarks.ablation.runs import Run
from fitness.landscape.table import load
from fitness.statistics import median

if TYPE_CHECKING:
    from fitness.landscape.table import Landscape

DOCUMENT = ROOT / "docs/ablation.md"
FIGURES = ROOT / "docs/ablation"
_HEAD = """# Policies compared

Written by `python -m benchmarks.ablation report` from `benchmarks/ablation/results.json`; the runs
are made anew with `python -m benchmarks.ablation run`.

Every policy searches the same measured tables (docs/landscapes.md) with the same operators and the
same budget of evaluations, {seeds} times with different seeds. Policies are compared by whom they
breed from: in all lines but the first ones `search.screening` is 0. "Screened" is the default: of
what operators offer, a model chooses what is evaluated (docs/search.md). With `search.remeasure` a
likely champion is measured again before it counts, and each such measurement counts as an
evaluation. Two lines are no search: points drawn at random, with and without repetition, the
champion chosen as a search would. They know what no search knows, namely which points and
structures there are. All other keys have their defaults. On the H200's tables 16 proposals are
therefore under way at once, and the first 15 children are made when nothing but the seed is known:
that keeps the 8 workers of a real run busy, where an evaluation takes a second. On a table it takes
nothing. "One at a time" (`search.in_flight=1`) is the default without that: every proposal knows
all results before it. Points drawn at random lose nothing by being many at once, so compare them
with that line to learn what a search knows, and with the default to learn what it does in a run.

What is shown is the *true* speedup of the champion that the search itself would have named: the
table's median over all rounds of that point, not the reading that made it champion. In brackets:
95% bootstrap interval of the median over seeds. "Within 5%" is the number of evaluations to the
first champion with at least 95% of the speedup of the best point in the table; ">" where half of
the runs did not get there within their budget, with how many did. Where intervals overlap, nothing
is shown to be better.

A table is small: policies that breed from few (greedy, tree search, MAP-Elites, beam) use up what
is new around their parents, and then any kernel that passed may be a parent, as in every search.
Late in a budget they therefore look alike.

What this cannot say is how a policy does on a space as large as a real one, where edits never run
out. The best point of a table is itself the luckiest of many; a share slightly below 100% is not a
loss.
"""


def write(kept: Path, live: Path) -> list[Path]:
    """Write the document and the figures; returns their files.

    Args:
        kept: The runs over tables.
        live: Those on real measurements; no section where there is no such file.
    """
    about, runs = unpack(kept)
    files, parts = [DOCUMENT], [_HEAD.format(seeds=about["seeds"])]
    FIGURES.mkdir(parents=True, exist_ok=True)
    budgets = sorted({min(100, int(about["evaluations"])), int(about["evaluations"])})
    found = {}
    for name in sorted({run.landscape for run in runs}):
        table, mine = load(tables()[name]), [run for run in runs if run.landscape == name]
        found[name] = lines(_ordered(mine), table, budgets)
        picture = FIGURES / f"{name}.svg"
        picture.write_text(_picture(name, mine, table, max(budgets)), encoding="utf-8")
        files.append(picture)
        parts.append(_section(name, table, found[name], budgets))
    parts.append(_summary(found))
    machine = about["machine"]
    parts.append(
        f"\nMeasured {about['date']} on {machine['device']}, Python {machine['python']}, "
        f"Optuna {machine.get('optuna', '-')}, DEAP {machine.get('deap', '-')}.\n"
    )
    if live.exists():
        text, picture = _live(live)
        parts.append(text)
        files.append(picture)
    DOCUMENT.write_text("\n".join(parts), encoding="utf-8")
    return files


def _live(kept: Path) -> tuple[str, Path]:
    about, runs = unpack_live(kept)
    budgets, arms = about["budgets"], list(ARMS)
    found, best = live_lines(runs, budgets, arms)
    table = table_of(found, budgets, {arm.name: arm.title for arm in ARMS.values()})
    picture = FIGURES / f"{NAME}.svg"
    picture.write_text(live_figure(runs, arms, max(budgets)), encoding="utf-8")
    return live_section(about, found, best, table), picture


def _ordered(runs: Sequence[Run]) -> list[Run]:
    order = list(ARMS)
    return sorted(runs, key=lambda run: order.index(run.arm))


def _section(name: str, table: Landscape, found: Sequence[Line], budgets: Sequence[int]) -> str:
    true = table.true_log_speedup
    best, seed = math.exp(true[table.best]), math.exp(true[table.seed])
    near = sum(math.exp(value) >= NEAR * best for value in true)
    provenance = table.about.get("provenance", {})
    device = provenance.get("machine", {}).get("device", table.device)
    text = table_of(found, budgets, {arm.name: arm.title for arm in ARMS.values()})
    return (
        f"\n## {name}\n\n{table.language} on {device}, {table.workload}: {len(table)} points of "
        f"{len(table.variants)} variants. Seed {seed:.3g}x, best {best:.3f}x over "
        f"{table.baseline};\n{near} points ({near / len(table):.1%}) are within 5% of it.\n\n"
        f"{text}\n\n![anytime curves](ablation/{name}.svg)\n"
    )


def table_of(found: Sequence[Line], budgets: Sequence[int], titles: Mapping[str, str]) -> str:
    """The table of one landscape, as Markdown."""
    rows = [
        ["", *(f"speedup after {b}" for b in budgets), "evaluations to within 5%", "ended early"],
        ["---"] * (len(budgets) + 3),
        *(_row(line, budgets, titles) for line in found),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(line: Line, budgets: Sequence[int], titles: Mapping[str, str]) -> list[str]:
    return [
        titles[line.arm],
        *(_speedup(line.found[budget]) for budget in budgets),
        f"{_count(line.near, max(budgets))}, {line.reached} of {line.seeds}",
        str(line.ended) if line.ended else "",
    ]


def _speedup(found: Interval) -> str:
    return f"{found.value:.3f}x [{found.low:.3f}, {found.high:.3f}]"


def _count(near: Interval, most: int) -> str:
    shown = [
        f"{n:.0f}" if math.isfinite(n) else f">{most}" for n in (near.value, near.low, near.high)
    ]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _drawn(every: Sequence[Line], budget: int) -> str:
    """What it takes without a search."""
    found = [line for line in every if line.arm in ENDS]
    told = [f"{ARMS[line.arm].title}: {_count(line.near, budget)}" for line in found]
    return "; ".join(told)


def _picture(name: str, runs: Sequence[Run], table: Landscape, evaluations: int) -> str:
    best = math.exp(table.true_log_speedup[table.best])
    curves = {}
    for arm in dict.fromkeys(run.arm for run in _ordered(runs)):
        every = [curve(run, table, evaluations) for run in runs if run.arm == arm]
        curves[arm] = [median(values) / best for values in zip(*every, strict=True)]
    return figure(name, curves)


def _summary(found: dict[str, list[Line]]) -> str:
    """Which search is first on which landscape, as far as intervals tell them apart.

    One at a time is told beside them: it is the default on other terms, and no other policy.
    """
    said = ["\n## In short\n"]
    for name, every in found.items():
        searches = [line for line in every if line.arm not in (*ENDS, SERIAL)]
        if not searches:
            continue
        budget = max(searches[0].found)
        quick = min(searches, key=lambda line: (line.near.value, -line.reached))
        said.append(
            f"- {name}: {leader(searches, budget)}. Soonest within 5% is {quick.arm}, after "
            f"{_count(quick.near, budget)} evaluations;{_serial(every, budget)} "
            f"{_drawn(every, budget)}."
        )
    return "\n".join(said) + "\n"


def _serial(every: Sequence[Line], budget: int) -> str:
    near = {line.arm: _count(line.near, budget) for line in every}
    if not {DEFAULT, SERIAL} <= near.keys():
        return ""
    return f" the default: {near[DEFAULT]}, one at a time: {near[SERIAL]};"
