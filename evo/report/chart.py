"""The search as a picture: every evaluation, the running best and its interval."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evo.report.markup import Markup, element
from evo.tables import format_count, format_speedup, one_line
from populations.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evo.report.data import RunData
    from populations.kernel import Kernel

WIDTH, LEFT, RIGHT, TOP = 960.0, 92.0, 16.0, 12.0
PLOT_HEIGHT, STRIP_HEIGHT, AXIS_HEIGHT = 320.0, 15.0, 34.0
# Operators with a colour of their own; the rest share one.
COLOURED = 6
# A kernel this many times slower than the best is drawn at the lower edge.
SPAN = 64.0


@dataclass(frozen=True, slots=True)
class _Scale:
    """Positions: evaluations to x, speedups to y (logarithmic, greater is higher)."""

    count: int
    low: float
    high: float

    def x(self, index: float) -> float:
        return LEFT + (index + 0.5) / max(self.count, 1) * (WIDTH - LEFT - RIGHT)

    def y(self, speedup: float) -> float:
        share = math.log(max(speedup, self.low) / self.low) / math.log(self.high / self.low)
        return TOP + PLOT_HEIGHT * (1 - share)


def evaluations_chart(data: RunData) -> Markup:
    """Draw every evaluation in order of proposal.

    Kernels that passed are dots, by speedup (logarithmic) and coloured by operator; the others are
    ticks in one strip per outcome. The line is the champion at that time, the band its interval.
    """
    speedups = [kernel.evaluation.speedup for kernel in data.kernels]
    reached = [speedup.value for speedup in speedups if speedup]
    high = max([*reached, *(s.high for s in speedups if s), 1.1]) * 1.05
    low = max(min([*reached, 0.9]), high / SPAN) / 1.05
    scale = _Scale(count=len(data.kernels), low=low, high=high)
    failed = [outcome for outcome in Outcome if outcome is not Outcome.PASSED]
    counts = Counter(kernel.evaluation.outcome for kernel in data.kernels)
    strips = [outcome for outcome in failed if counts[outcome]]
    bottom = TOP + PLOT_HEIGHT + 6 + STRIP_HEIGHT * len(strips)
    height = bottom + AXIS_HEIGHT
    colours = operator_colours(data.kernels)
    drawing = element(
        "svg",
        element("title", "Speedup over the fastest baseline, evaluation by evaluation"),
        _axes(scale, bottom),
        _running_best(data, scale),
        [_strip(data.kernels, scale, row, outcome) for row, outcome in enumerate(strips)],
        _dots(data, scale, colours),
        viewBox=f"0 0 {WIDTH:.0f} {height:.0f}",
        role="img",
        class_="chart",
    )
    return element("figure", element("div", drawing, class_="wide"), _legend(colours))


def operator_colours(kernels: Sequence[Kernel]) -> dict[str, str]:
    """Operator -> class of its colour: the most used ones have their own, then "other"."""
    counts = Counter(kernel.candidate.operator for kernel in kernels if kernel.passed)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    return {
        name: f"c{rank}" if rank < COLOURED or len(ranked) == COLOURED + 1 else "other"
        for rank, name in enumerate(ranked)
    }


def describe(kernel: Kernel) -> str:
    """A kernel in one line, for a tooltip."""
    candidate, evaluation = kernel.candidate, kernel.evaluation
    parents = ", ".join(f"#{parent}" for parent in candidate.parents)
    result = (
        format_speedup(evaluation.speedup)
        if evaluation.speedup
        else evaluation.outcome.replace("_", " ")
    )
    origin = f"{candidate.operator} of {parents}" if parents else candidate.operator
    note = f": {one_line(candidate.note, 160)}" if candidate.note else ""
    return f"#{kernel.number} {result}, {origin}{note}"


def _axes(scale: _Scale, bottom: float) -> list[Markup]:
    parts = []
    for value in _speedup_ticks(scale.low, scale.high):
        y = scale.y(value)
        name = "grid one" if value == 1 else "grid"
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_=name))
        parts.append(element("text", f"{value:g}x", x=LEFT - 8, y=y + 4, class_="end"))
    y = scale.y(1.0)
    parts.append(element("text", "fastest baseline", x=WIDTH - RIGHT, y=y - 5, class_="end one"))
    for value in _count_ticks(scale.count):
        x = scale.x(value)
        parts.append(element("line", x1=x, x2=x, y1=bottom, y2=bottom + 4, class_="axis"))
        parts.append(element("text", value, x=x, y=bottom + 16, class_="middle"))
    parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=bottom, y2=bottom, class_="axis"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(element("text", "evaluation", x=middle, y=bottom + 31, class_="middle"))
    return parts


def _speedup_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    wide = high / low > 20
    steps = (1, 2, 5) if wide else (1, 1.5, 2, 3, 4, 5, 7)
    ticks = [round(step * 10.0**decade, 9) for decade in decades for step in steps]
    if high / low < 2:
        ticks = [round(0.1 * i, 1) for i in range(1, 100)]
    return [tick for tick in ticks if low <= tick <= high]


def _count_ticks(count: int) -> list[int]:
    step = next(
        factor * 10**power
        for power in range(9)
        for factor in (1, 2, 5)
        if count <= 10 * factor * 10**power
    )
    return list(range(0, count, step))


def _running_best(data: RunData, scale: _Scale) -> list[Markup]:
    order = {kernel.number: index for index, kernel in enumerate(data.kernels)}
    steps = [
        (order[number], speedup)
        for number in data.improvements
        if (speedup := data.by_number[number].evaluation.speedup)
    ]
    if not steps:
        return []
    ends = [*(index for index, _ in steps[1:]), len(data.kernels) - 1]
    line: list[str] = []
    band: list[str] = []
    for (index, speedup), end in zip(steps, ends, strict=True):
        start_x, end_x, y = scale.x(index), scale.x(end), scale.y(speedup.value)
        line.append(f"{'L' if line else 'M'}{start_x:.1f} {y:.1f}H{end_x:.1f}")
        top, low = scale.y(speedup.high), scale.y(speedup.low)
        band.append(f"M{start_x:.1f} {top:.1f}H{end_x:.1f}V{low:.1f}H{start_x:.1f}Z")
    return [
        element("path", d="".join(band), class_="band"),
        element("path", d="".join(line), class_="best"),
    ]


def _strip(kernels: Sequence[Kernel], scale: _Scale, row: int, outcome: Outcome) -> Markup:
    middle = TOP + PLOT_HEIGHT + 6 + STRIP_HEIGHT * (row + 0.5)
    hits = [i for i, kernel in enumerate(kernels) if kernel.evaluation.outcome is outcome]
    marks = "".join(f"M{scale.x(i):.1f} {middle - 4:.1f}v8" for i in hits)
    name = outcome.replace("_", " ")
    return element(
        "g",
        element("title", f"{name}: {format_count(len(hits), 'kernel')}"),
        element("text", name, x=LEFT - 8, y=middle + 4, class_="end small"),
        element("path", d=marks, class_="failed"),
    )


def _dots(data: RunData, scale: _Scale, colours: dict[str, str]) -> Markup:
    improved = frozenset(data.improvements)
    # Small dots when there are many; champions last, so that nothing covers them.
    size = 3.2 if len(data.kernels) <= 600 else 2.2
    plain: list[Markup] = []
    champions: list[Markup] = []
    for index, kernel in enumerate(data.kernels):
        if (speedup := kernel.evaluation.speedup) is None:
            continue
        is_champion = kernel.number in improved
        dot = element(
            "circle",
            element("title", describe(kernel)),
            cx=scale.x(index),
            cy=scale.y(speedup.value),
            r=size + 2 if is_champion else size,
            class_=f"dot {colours[kernel.candidate.operator]}{' new' if is_champion else ''}",
        )
        (champions if is_champion else plain).append(dot)
    return element("g", plain, champions, _champion_label(data, scale))


def _champion_label(data: RunData, scale: _Scale) -> Markup | None:
    if data.best is None or (speedup := data.best.evaluation.speedup) is None:
        return None
    x, y = scale.x(data.kernels.index(data.best)), scale.y(speedup.value)
    # Towards the middle, so that it stays within the frame.
    name = "end strong" if x > WIDTH / 2 else "strong"
    return element("text", f"champion #{data.champion}", x=x, y=max(y - 10, 10.0), class_=name)


def _legend(colours: dict[str, str]) -> Markup:
    own = [(name, colour) for name, colour in colours.items() if colour != "other"]
    others = len(colours) - len(own)
    entries = [*own, (f"{others} other operators", "other")] if others else own
    return element(
        "figcaption",
        [
            element("span", element("b", "", class_=f"key {colour}"), name, class_="entry")
            for name, colour in entries
        ],
        element(
            "p",
            "Dots are kernels that passed, ringed ones became champion. The line is the champion "
            "at that time, the band its 95% interval; slower kernels than the scale shows stand "
            "at its lower edge. Below: kernels that failed, by outcome.",
        ),
    )
