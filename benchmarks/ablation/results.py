"""The file of runs, and the numbers that follow from it.

Speedups are the table's own (the median of all rounds of a point), not what a search happened to
measure; the champion is whom the search itself would have named.
"""

from __future__ import annotations

import json
import math
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.ablation.runs import Run
from fitness.statistics import median

if TYPE_CHECKING:
    from fitness.landscape.table import Landscape

NEAR = 0.95
_RESAMPLES = 2000
_INTERVAL = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Interval:
    """A median over seeds with its 95% bootstrap interval; infinity: not reached by so many."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Line:
    """One arm on one landscape.

    Attributes:
        arm: Its name.
        seeds: Number of runs.
        found: Budget -> the champion's true speedup.
        near: Evaluations to a champion within 5% of the best known.
        reached: Runs that got there within their budget.
        ended: Runs that ended before their budget.
        wall_s: Median time of a run.
    """

    arm: str
    seeds: int
    found: Mapping[int, Interval]
    near: Interval
    reached: int
    ended: int
    wall_s: float


def read(path: Path) -> list[Run]:
    """Every run of a file; half a line at its end is what a kill cut off."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            data = json.loads(line)
        except json.JSONDecodeError:
            continue
        data["champions"] = tuple((at, row) for at, row in data["champions"])
        found.append(Run(**data))
    return found


def append(path: Path, run: Run) -> None:
    """Add a run; it is in the file when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_bytes() if path.exists() else b""
    start = "" if not text or text.endswith(b"\n") else "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(start + json.dumps(asdict(run), separators=(",", ":")) + "\n")


def pack(runs: Sequence[Run], about: Mapping[str, Any]) -> str:
    """The runs as the text of the file that is kept: a line each, in order."""
    ordered = sorted(runs, key=lambda run: (run.landscape, run.arm, run.seed))
    return packed(ordered, about)


def packed(runs: Iterable[Any], about: Mapping[str, Any]) -> str:
    """Dataclasses as JSON, a line each, behind what is said of all of them."""
    lines = [json.dumps(asdict(run), separators=(",", ":")) for run in runs]
    head = json.dumps(dict(about), indent=1)[:-2]
    return head + ',\n "runs": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def unpack(path: Path) -> tuple[dict[str, Any], list[Run]]:
    """What `pack` made: what is said of the runs, and the runs."""
    data = json.loads(path.read_text(encoding="utf-8"))
    runs = [
        Run(**{**item, "champions": tuple((at, row) for at, row in item["champions"])})
        for item in data.pop("runs")
    ]
    return data, runs


def merged(kept: Iterable[Run], new: Iterable[Run]) -> list[Run]:
    """All of them; of two runs of one search the new one."""
    return list({(r.landscape, r.arm, r.seed, r.budget): r for r in (*kept, *new)}.values())


def seeds_of(runs: Iterable[Run]) -> int:
    """How many seeds every arm on every landscape has at least; 0 without a run."""
    counts = Counter((run.landscape, run.arm) for run in runs)
    return min(counts.values(), default=0)


def curve(run: Run, table: Landscape, evaluations: int) -> list[float]:
    """The champion's true speedup after 1, 2, ... evaluations; 0 before there is one."""
    true = table.true_log_speedup
    return anytime([(at, math.exp(true[row])) for at, row in run.champions], evaluations)


def anytime(champions: Sequence[tuple[int, float]], evaluations: int) -> list[float]:
    """The speedup of whoever was champion after 1, 2, ... evaluations; 0 before there is one.

    Args:
        champions: Evaluations after which each became champion, and its speedup, in order.
        evaluations: How far to go.
    """
    places, speedups = [at for at, _ in champions], [0.0, *(speedup for _, speedup in champions)]
    return [speedups[bisect_right(places, at)] for at in range(1, evaluations + 1)]


def leader(found: Sequence[Line], budget: int) -> str:
    """Which arm has found most after so many evaluations, and who is clearly behind it."""
    first = max(found, key=lambda line: line.found[budget].value)
    apart = [line.arm for line in found if line.found[budget].high < first.found[budget].low]
    clear = f"clearly behind it: {', '.join(apart)}" if apart else "none is clearly behind it"
    speedup = first.found[budget].value
    return f"after {budget} evaluations {first.arm} has found most ({speedup:.3f}x); {clear}"


def first_near(run: Run, table: Landscape) -> float:
    """Evaluations to the first champion within 5% of the best known; infinity for none."""
    least = NEAR * math.exp(table.true_log_speedup[table.best])
    good = (at for at, row in run.champions if math.exp(table.true_log_speedup[row]) >= least)
    return next(good, math.inf)


def interval(values: Sequence[float]) -> Interval:
    """The median and what it is in 95% of resamples of the seeds."""
    rng = random.Random(len(values))
    resampled = sorted(median(rng.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    low, high = (resampled[int(share * (_RESAMPLES - 1))] for share in _INTERVAL)
    return Interval(median(values), low, high)


def lines(runs: Sequence[Run], table: Landscape, budgets: Sequence[int]) -> list[Line]:
    """One line for each arm, in the order in which they come."""
    found = []
    for arm in dict.fromkeys(run.arm for run in runs):
        mine = [run for run in runs if run.arm == arm]
        curves = [curve(run, table, max(budgets)) for run in mine]
        near = [first_near(run, table) for run in mine]
        found.append(
            Line(
                arm=arm,
                seeds=len(mine),
                found={budget: interval([c[budget - 1] for c in curves]) for budget in budgets},
                near=interval(near),
                reached=sum(math.isfinite(n) for n in near),
                ended=sum(bool(run.ended) for run in mine),
                wall_s=median([run.wall_s for run in mine]),
            )
        )
    return found
