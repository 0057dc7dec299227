"""What a sweep found, as a page of Markdown, of one that is going on as of one that has ended."""

from __future__ import annotations

import math
import shlex
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evo.sweeps.runs import overrides
from evo.sweeps.settings import Sweep
from evo.sweeps.space import written
from evo.sweeps.statistics import Estimate, Level, Point, levels, points_of, ranked
from evo.tables import NOTHING, format_count, format_duration, format_ratio

if TYPE_CHECKING:
    from evo.sweeps.study import Trials

FILE = "report.md"
# Points that are listed.
_MOST_POINTS = 40
# The bootstrap of a median of fewer than six values hardly goes beyond what is between them.
_FEW = "; too narrow for so few seeds"
_METRICS = {
    "speedup": "speedup of the champion, more is better",
    "evaluations": "evaluations until a champion had {target:g}x, fewer is better",
}


def page(trials: Trials) -> str:
    """The page."""
    sweep, everything = trials.sweep, trials.all()
    points = points_of(everything)
    best_first = ranked(points, maximize=sweep.maximize)
    wall_s = sum(trial.user_attrs.get("wall_s", 0.0) for trial in everything)
    device_s = sum(trial.user_attrs.get("device_s", 0.0) for trial in everything)
    parts = [
        f"# Sweep {sweep.name}",
        _head(sweep, points, wall_s, device_s),
        _best(sweep, best_first),
        _points(sweep, best_first),
        _importances(trials, best_first),
        *(_levels(sweep, points, place) for place in range(len(sweep.parameters))),
        _failures(points),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(sweep: Sweep, points: Sequence[Point], wall_s: float, device_s: float) -> str:
    states = Counter(point.state for point in points)
    standing = ", ".join(f"{states[state]} {state}" for state in states)
    metric = _METRICS[sweep.table.metric].format(target=sweep.table.target)
    return "\n".join(
        [
            f"- experiment: {sweep.experiment.name}"
            + (f" with {' '.join(sweep.fixed)}" if sweep.fixed else ""),
            f"- metric: {metric}; a point's value is the median over seeds "
            f"{', '.join(map(str, sweep.seeds))}",
            f"- trials: {len(points)}, {standing}; sampler {sweep.table.sampler}",
            f"- spent: {format_duration(wall_s)} of searching, {format_duration(device_s)} of "
            f"device time",
            "- intervals: 95%, bootstrap over seeds" + (_FEW if len(sweep.seeds) < 6 else ""),
        ]
    )


def _best(sweep: Sweep, best_first: Sequence[Point]) -> str:
    if not best_first or best_first[0].state != "complete":
        return "No trial is complete yet."
    best = best_first[0]
    words = ["python", "-m", "evo.run", str(sweep.experiment)]
    for text in [*sweep.fixed, *overrides(best.params)]:
        words += ["--set", text]
    others = len([point for point in best_first if point.state == "complete"]) - 1
    luck = (
        f" It is the best of {others + 1}: a part of its lead is luck, so runs of further seeds "
        f"will be a little worse."
        if others
        else ""
    )
    return (
        f"## Best point\n\n`{written(best.params)}`: {_shown(best.estimate, sweep)} over "
        f"{format_count(len(best.values), 'seed')}.{luck}\n\n    {shlex.join(words)}"
    )


def _points(sweep: Sweep, best_first: Sequence[Point]) -> str:
    if not best_first:
        return ""
    keys = [each.key for each in sweep.parameters]
    header = ["trial", *keys, "median", "seed by seed", "state"]
    rows = [
        [
            str(point.number),
            *(_value(point.params.get(key)) for key in keys),
            _shown(point.estimate, sweep),
            " ".join(_plain(value, sweep) for value in point.values.values()),
            point.state if point.state != "pruned" else f"given up after {len(point.values)}",
        ]
        for point in best_first[:_MOST_POINTS]
    ]
    more = len(best_first) - len(rows)
    text = f"## Points\n\n{table(header, rows)}"
    return f"{text}\n\nand {more} more" if more else text


def _importances(trials: Trials, best_first: Sequence[Point]) -> str:
    """Importances by fANOVA (Hutter, Hoos and Leyton-Brown 2014), as Optuna has it."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    if len(trials.sweep.parameters) < 2:
        return ""
    complete = [point for point in best_first if point.state == "complete"]
    values = {point.estimate.value for point in complete if point.estimate}
    if len(complete) < 4 or len(values) < 2:
        return "## Importance\n\nToo few complete trials that differ to tell."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = get_param_importances(trials.study, evaluator=FanovaImportanceEvaluator(seed=0))
    rows = [[key, f"{share:.0%}"] for key, share in found.items()]
    left_out = [each.key for each in trials.sweep.parameters if each.key not in found]
    text = (
        "## Importance\n\nThe share of the variance over complete trials that each key explains "
        f"(fANOVA).\n\n{table(['key', 'share'], rows)}"
    )
    if left_out:
        text += f"\n\nNot every trial had {', '.join(left_out)}, which is left out here."
    return text


def _levels(sweep: Sweep, points: Sequence[Point], place: int) -> str:
    parameter = sweep.parameters[place]
    found = levels(points, parameter, maximize=sweep.maximize)
    if not found:
        return ""
    header = [parameter.key, "trials", "runs", "typical", "beside the best"]
    rows = [_level(level, sweep) for level in found]
    note = (
        "Typical: mean of the medians of its trials, those given up included. An interval beside "
        + (
            "the best that holds 1 leaves open which is better."
            if sweep.maximize
            else "the best that holds 0 leaves open which is better."
        )
    )
    return f"## {parameter.key}\n\n{table(header, rows)}\n\n{note}"


def _level(level: Level, sweep: Sweep) -> list[str]:
    behind = NOTHING if level.behind is None else _shown(level.behind, sweep)
    return [
        level.name,
        str(level.points),
        str(level.runs),
        _shown(level.typical, sweep),
        behind,
    ]


def _failures(points: Sequence[Point]) -> str:
    failed = [point for point in points if point.state == "fail"]
    if not failed:
        return ""
    lines = [f"- trial {p.number}, `{written(p.params)}`: {p.error}" for p in failed]
    return "\n".join(["## Failed\n", *lines])


def _shown(estimate: Estimate | None, sweep: Sweep) -> str:
    """An estimate with its interval: 1.42x [1.38, 1.46], 61 [48, 90]."""
    if estimate is None:
        return NOTHING
    text = _plain(estimate.value, sweep) + ("x" if sweep.maximize else "")
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{_plain(estimate.low, sweep)}, {_plain(estimate.high, sweep)}]"


def _plain(value: float, sweep: Sweep) -> str:
    if sweep.maximize:
        return format_ratio(math.exp(value)).removesuffix("x")
    return f"{value:.4g}"


def _value(value: object) -> str:
    if value is None:
        return NOTHING
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown, fit to be read as it stands."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
