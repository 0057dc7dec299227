"""What a sweep's values say: medians with bootstrap intervals, and choices beside each other.

Intervals are of the percentile bootstrap (Efron 1979), 95%, over seeds: another set of seeds would
have given another median. Where choices are compared, seeds are drawn for all of them together, as
the runs share them, and trials of one choice are drawn too, as their other settings differ.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evo.sweeps.space import Parameter, Value

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

DRAWS = 2000
# Values of a range beyond which it is told in three parts: of whole numbers, and of others.
_MOST_LEVELS, _MOST_FLOATS = 6, 3


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95% interval; without one where there was a single run."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One trial as far as it has come.

    Attributes:
        number: The trial's.
        params: What was varied.
        state: "complete", "pruned", "fail", "running" or "waiting".
        values: Seed -> the sweep's metric.
        error: What made it fail.
    """

    number: int
    params: Mapping[str, Value]
    state: str
    values: Mapping[int, float]
    error: str = ""

    @property
    def estimate(self) -> Estimate | None:
        """Its median over seeds; None before its first run has ended."""
        return median(list(self.values.values())) if self.values else None


@dataclass(frozen=True, slots=True)
class Level:
    """One choice of a key, or one part of its range, over everything else that was varied.

    Attributes:
        name: The choice, or the part.
        points: Trials that had it, pruned ones included.
        runs: Runs of theirs.
        typical: Mean over its trials of their medians.
        behind: The same less that of the best level, seed by seed; None for the best one itself.
    """

    name: str
    points: int
    runs: int
    typical: Estimate
    behind: Estimate | None


def points_of(trials: Sequence[FrozenTrial]) -> list[Point]:
    """The trials of a study, in order."""
    return [
        Point(
            number=trial.number,
            params=dict(trial.params),
            state=trial.state.name.lower(),
            values=dict(sorted(trial.intermediate_values.items())),
            error=str(trial.user_attrs.get("error", "")),
        )
        for trial in trials
    ]


def ranked(points: Sequence[Point], *, maximize: bool) -> list[Point]:
    """Points with values: complete ones best first, then pruned ones, each state by median."""

    def rank(point: Point) -> tuple[bool, float, int]:
        value = point.estimate.value if point.estimate else 0.0
        return point.state != "complete", -value if maximize else value, point.number

    return sorted((point for point in points if point.values), key=rank)


def median(values: Sequence[float], *, draws: int = DRAWS) -> Estimate:
    """The median of some runs with its interval."""
    middle = statistics.median(values)
    if len(values) < 2:
        return Estimate(middle)
    rng = random.Random("median")
    drawn = [statistics.median(rng.choices(values, k=len(values))) for _ in range(draws)]
    return Estimate(middle, *_ends(drawn))


def levels(
    points: Sequence[Point], key: Parameter, *, maximize: bool, draws: int = DRAWS // 4
) -> list[Level]:
    """A key's choices beside each other, the best first; fewer than two say nothing."""
    groups = _groups([p for p in points if p.values and key.key in p.params], key)
    if len(groups) < 2:
        return []
    found = {name: _typical(group, None) for name, group in groups.items()}
    best = (max if maximize else min)(found, key=lambda name: found[name])
    drawn = _draw(groups, draws)
    made = []
    for name in sorted(found, key=lambda name: -found[name] if maximize else found[name]):
        group = groups[name]
        behind = None
        if name != best:
            gaps = [each[name] - each[best] for each in drawn]
            behind = Estimate(found[name] - found[best], *_ends(gaps))
        typical = Estimate(found[name], *_ends([each[name] for each in drawn]))
        runs = sum(len(point.values) for point in group)
        made.append(Level(name, len(group), runs, typical, behind))
    return made


def _groups(points: Sequence[Point], key: Parameter) -> dict[str, list[Point]]:
    """Points by the value of a key, or by the third of the values that it lies in."""
    values = sorted({point.params[key.key] for point in points}, key=_ordered)
    name: Callable[[Value], str] = _text
    if not key.choices and len(values) > (_MOST_LEVELS if key.countable else _MOST_FLOATS):
        third = -(-len(values) // 3)
        parts = [values[start : start + third] for start in range(0, len(values), third)]
        names = {v: f"{_text(part[0])} to {_text(part[-1])}" for part in parts for v in part}
        name = names.__getitem__
    groups: dict[str, list[Point]] = {}
    for value in values:
        for point in points:
            if point.params[key.key] == value:
                groups.setdefault(name(value), []).append(point)
    return groups


def _draw(groups: Mapping[str, Sequence[Point]], draws: int) -> list[dict[str, float]]:
    """Every level's typical value, for seeds and trials drawn anew."""
    rng = random.Random("levels")
    seeds = sorted({seed for group in groups.values() for p in group for seed in p.values})
    drawn = []
    for _ in range(draws):
        chosen = rng.choices(seeds, k=len(seeds))
        drawn.append(
            {
                name: _typical(rng.choices(group, k=len(group)), chosen)
                for name, group in groups.items()
            }
        )
    return drawn


def _typical(group: Sequence[Point], seeds: Sequence[int] | None) -> float:
    return statistics.fmean(_median_of(point, seeds) for point in group)


def _median_of(point: Point, seeds: Sequence[int] | None) -> float:
    """A trial's median over drawn seeds; one that was given up may have none of them."""
    drawn = [point.values[seed] for seed in seeds or () if seed in point.values]
    return statistics.median(drawn or list(point.values.values()))


def _ends(drawn: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(drawn)
    last = len(ordered) - 1
    return ordered[round(0.025 * last)], ordered[round(0.975 * last)]


def _ordered(value: Value) -> tuple[bool, float, str]:
    """Numbers by size, then texts."""
    is_text = isinstance(value, str)
    return is_text, 0.0 if isinstance(value, str) else float(value), str(value)


def _text(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
