"""How numbers and tables look, the same in the terminal, the report and the champion's file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from populations.outcome import Evaluation, Speedup

# Stands where there is no number.
NOTHING = "-"
# Said of a champion as long as it was not judged again in fresh processes on fresh seeds.
PROVISIONAL = " (provisional: not judged again yet)"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadRow:
    """One workload of the closing table. Times are median milliseconds of one call.

    Attributes:
        workload: Its name.
        seed_ms: The first kernel's time, None when it was not measured here.
        baselines_ms: Baseline -> time.
        champion_ms: The champion's time, None when it was not measured here.
        baseline: The baseline that `speedup` is against, None without a champion.
        speedup: The champion's, over `baseline`.
    """

    workload: str
    seed_ms: float | None
    baselines_ms: Mapping[str, float]
    champion_ms: float | None = None
    baseline: str | None = None
    speedup: Speedup | None = None


def workload_rows(
    baselines: Mapping[str, Mapping[str, float]],
    seed: Evaluation | None,
    champion: Evaluation | None,
) -> tuple[WorkloadRow, ...]:
    """Build the closing table.

    The baseline a champion was paired with shows the time measured side by side with it, so that a
    row's own numbers agree with its speedup; the other baselines show what `baselines` says.

    Args:
        baselines: Workload -> baseline -> milliseconds; decides the rows and their order.
        seed: The first kernel's evaluation, if it was timed.
        champion: The champion's evaluation, if there is one.
    """
    seeds = {timing.workload: timing.candidate_ms for timing in seed.timings} if seed else {}
    paired = {timing.workload: timing for timing in champion.timings} if champion else {}
    rows = []
    for workload, times in baselines.items():
        timing = paired.get(workload)
        rows.append(
            WorkloadRow(
                workload=workload,
                seed_ms=seeds.get(workload),
                baselines_ms={**times, timing.baseline: timing.baseline_ms} if timing else times,
                champion_ms=timing.candidate_ms if timing else None,
                baseline=timing.baseline if timing else None,
                speedup=timing.speedup if timing else None,
            )
        )
    return tuple(rows)


def format_ms(value_ms: float | None) -> str:
    """Milliseconds with three significant digits: 0.0366, 0.136, 2.41, 24.1, 1260."""
    if value_ms is None:
        return NOTHING
    return f"{value_ms:.{_decimals(value_ms)}f}"


def format_ratio(value: float) -> str:
    """A speedup without its interval: 0.053x, 0.94x, 1.42x, 15.8x."""
    return f"{value:.{min(_decimals(value), 2 if value >= 0.0995 else 3)}f}x"


def format_interval(speedup: Speedup) -> str:
    """The interval alone: [1.38, 1.46]."""
    low, high = (format_ratio(end).rstrip("x") for end in (speedup.low, speedup.high))
    return f"[{low}, {high}]"


def format_speedup(speedup: Speedup | None) -> str:
    """A speedup with its interval: 1.42x [1.38, 1.46]."""
    return f"{format_ratio(speedup.value)} {format_interval(speedup)}" if speedup else NOTHING


def format_duration(seconds: float) -> str:
    """Seconds as a clock: 0:07, 12:31, 1:02:09."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_count(count: int, noun: str) -> str:
    """A count with its noun: 1 kernel, 2 kernels."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def one_line(text: str, width: int = 0) -> str:
    """A text on one line, fit for a terminal or a comment.

    Every run of white space or of unprintable characters (an escape sequence from a model's answer
    among them) becomes one blank. `width` > 0 cuts, with an ellipsis as the last character.
    """
    words = "".join(char if char.isprintable() else " " for char in text).split()
    line = " ".join(words)
    return line if not width or len(line) <= width else f"{line[: width - 1].rstrip()}…"


def baseline_names(rows: Sequence[WorkloadRow]) -> list[str]:
    """Every baseline of the table, in order of first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row.baselines_ms))


def closing_table(rows: Sequence[WorkloadRow]) -> tuple[list[str], list[list[str]]]:
    """The closing table as text: header cells, then one list of cells per workload."""
    names = baseline_names(rows)
    header = ["workload (ms)", "seed", *names, "champion", "speedup"]
    body = [
        [
            row.workload,
            format_ms(row.seed_ms),
            *(format_ms(row.baselines_ms.get(name)) for name in names),
            format_ms(row.champion_ms),
            format_speedup(row.speedup),
        ]
        for row in rows
    ]
    return header, body


def text_table(
    header: Sequence[str], body: Sequence[Sequence[str]], *, left: Collection[int] = (0,)
) -> str:
    """A plain table: the columns in `left` to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *body, strict=True)]

    def line(cells: Sequence[str]) -> str:
        placed = [
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(placed).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, body)])


def _decimals(value: float) -> int:
    """Decimals that show three significant digits, at most six."""
    if value <= 0:
        return 0
    # Rounded first: 0.9996 is 1.00 and needs one decimal less than 0.9994.
    return min(max(2 - math.floor(math.log10(float(f"{value:.2e}"))), 0), 6)
