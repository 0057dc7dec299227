"""The part of docs/ablation.md on runs that were really compiled and measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.ablation.figure import figure
from benchmarks.ablation.live import WORKLOAD, LiveRun
from benchmarks.ablation.results import NEAR, Line, anytime, interval, leader
from fitness.statistics import median

NAME = "conv1d_live"
_TEXT = """
## conv1d, live on a CPU

Made by `python -m benchmarks.ablation live`: whole runs of `python -m evo.run` on conv1d
({workload}, C++), {seeds} seeds each, compiled and measured on {device}, {cores} processors for
each run and {count} runs at once at most. Speedups are over eager, those of the champion that the
search had named after so many evaluations, each measured once more by `evo bench` in fresh
processes. The best of all is {best:.3f}x; "within 5%" is of that one, by champions so measured.

{table}

![anytime curves](ablation/{name}.svg)

{said}
"""


def live_lines(
    runs: Sequence[LiveRun], budgets: Sequence[int], arms: Sequence[str]
) -> tuple[list[Line], float]:
    """A line for each arm, and the best speedup of all."""
    best = max(c.measured[0] for run in runs for c in run.champions if c.measured)
    found = []
    for arm in arms:
        mine = [run for run in runs if run.arm == arm]
        if not mine:
            continue
        near = [_first_near(run, NEAR * best, max(budgets)) for run in mine]
        line = Line(
            arm=arm,
            seeds=len(mine),
            found={b: interval([_speedup(run, b) for run in mine]) for b in budgets},
            near=interval(near),
            reached=sum(math.isfinite(n) for n in near),
            ended=sum(run.spent < max(budgets) for run in mine),
            wall_s=median([run.wall_s for run in mine]),
        )
        found.append(line)
    return found, best


def live_section(about: Mapping[str, Any], found: Sequence[Line], best: float, table: str) -> str:
    """The section as Markdown."""
    return _TEXT.format(
        workload=WORKLOAD,
        seeds=about["seeds"],
        device=about["machine"]["device"],
        cores=about["cores"],
        count=about["at_once"],
        best=best,
        table=table,
        name=NAME,
        said=f"A{leader(found, max(about['budgets']))[1:]}.",
    )


def live_figure(runs: Sequence[LiveRun], arms: Sequence[str], evaluations: int) -> str:
    """Anytime curves of what the searches believed, as a share of the best that any believed."""
    best = max(c.estimate for run in runs for c in run.champions)
    curves = {}
    for arm in arms:
        every = [
            anytime([(c.at, c.estimate) for c in run.champions], evaluations)
            for run in runs
            if run.arm == arm
        ]
        if every:
            curves[arm] = [median(values) / best for values in zip(*every, strict=True)]
    return figure(f"{NAME} (as the searches measured it)", curves)


def _speedup(run: LiveRun, evaluations: int) -> float:
    champion = run.champion(evaluations)
    return champion.measured[0] if champion and champion.measured else 0.0


def _first_near(run: LiveRun, least: float, budget: int) -> float:
    # Some runs may have gone on beyond the budget that all have reached.
    named = (c for c in run.champions if c.at <= budget)
    return next((c.at for c in named if c.measured and c.measured[0] >= least), math.inf)
