"""The live panel: what is known about a run, redrawn in place."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Self, TextIO

from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.measure import Measurement
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from evo.events import Event, Finished, Message, Started
from evo.progress import Progress
from evo.tables import (
    closing_table,
    format_duration,
    format_ms,
    format_speedup,
    one_line,
)
from evo.view import View, closing_lines, device_line, file_lines
from populations.outcome import Outcome, Speedup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from rich.console import RenderableType

# Candidates under way, and workloads, that are named one by one.
NAMED = 3


class LiveView(View):
    """A panel that is redrawn in place; messages go above it, the closing table below.

    Args:
        stream: A terminal.
        width: Columns; the terminal's own if None.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        width: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = Progress(clock=clock)
        self._lock = threading.Lock()  # the panel is redrawn from rich's own thread
        self._console = Console(file=stream, width=width, highlight=False)
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=4)

    def __enter__(self) -> Self:
        """Take the terminal."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the terminal back, with the panel's last state left standing."""
        self._live.stop()

    def notify(self, event: Event) -> None:
        """Take up one event; at the end of the run print the closing table."""
        with self._lock:
            self._progress.add(event)
        match event:
            case Message(text):
                self._console.print(Text(one_line(text)))
            case Finished():
                self._live.stop()
                self._close(event)

    def _render(self) -> RenderableType:
        with self._lock:
            return panel(self._progress)

    def _close(self, event: Finished) -> None:
        self._console.print(Text("\n".join(closing_lines(event)), style="bold"))
        if event.table:
            for table in closing_tables(event, self._console):
                self._console.print(table)
        # A path is for copying: never broken over two lines.
        self._console.print(Text("\n".join(file_lines(event))), soft_wrap=True)


def panel(progress: Progress) -> RenderableType:
    """Draw the state of a run; nothing before it has started."""
    if (started := progress.started) is None:
        return Text()
    parts: list[RenderableType] = [_figures(progress, started)]
    if progress.improvements:
        parts += [Text(), _improvements(progress)]
    return Panel(
        Group(*parts),
        title=Text(f"evo {started.experiment}", style="bold"),
        title_align="left",
        subtitle=Text(started.directory, style="dim"),
        subtitle_align="right",
        border_style="dim",
    )


def closing_tables(event: Finished, console: Console) -> list[Table]:
    """The closing table in the first shape that fits: as it is, names folded, or on its side.

    On its side it may come in several parts, a few workloads in each.
    """
    header, body = closing_table(event.table)
    folded = [re.sub(r"[ _-](?=\w)", lambda mark: mark[0].strip() + "\n", name) for name in header]
    stacked = [[*cells[:-1], cells[-1].replace(" ", "\n", 1)] for cells in body]
    for names, lines in ((header, body), (folded, body), (folded, stacked)):
        table = _grid(names, lines)
        if _natural_width(table, console) <= console.width:
            return [table]
    columns = list(zip(header, *body, strict=True))
    for count in range(len(body), 0, -1):
        tables = [_on_its_side(columns, start, count) for start in range(0, len(body), count)]
        if all(_natural_width(table, console) <= console.width for table in tables):
            break
    return tables


def _on_its_side(columns: Sequence[tuple[str, ...]], start: int, count: int) -> Table:
    first, *others = [[cells[0], *cells[1 + start : 1 + start + count]] for cells in columns]
    return _grid(first, others)


def _natural_width(table: Table, console: Console) -> int:
    return Measurement.get(console, console.options.update(width=10_000), table).maximum


def _grid(names: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for index, name in enumerate(names):
        table.add_column(
            Text(name),
            justify="right" if index else "left",
            vertical="middle",
            # Names may be cut in a terminal too narrow for any shape, numbers never.
            no_wrap=index > 0,
        )
    for cells in lines:
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _figures(progress: Progress, started: Started) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row("device", Text(device_line(started)))
    if progress.baselines:
        table.add_row("to beat", _to_beat(progress))
    table.add_row("evaluations", _evaluations(progress))
    table.add_row("best", _best(progress))
    table.add_row("outcomes", _outcomes(progress))
    table.add_row("device busy", _usage(progress))
    if progress.under_way:
        table.add_row("now", _under_way(progress))
    return table


def _to_beat(progress: Progress) -> Text:
    fastest = [
        (workload, *min((ms, name) for name, ms in times.items()))
        for workload, times in progress.baselines.items()
        if times
    ]
    named = [f"{workload} {format_ms(ms)} ms ({name})" for workload, ms, name in fastest[:NAMED]]
    return Text("  ".join(_with_more(named, len(fastest))))


def _evaluations(progress: Progress) -> Table:
    spent, limit, left = progress.spent, progress.budget.evaluations, progress.time_left_s
    row: list[RenderableType] = [f"{spent.evaluations}{'' if limit is None else f'/{limit}'}"]
    if (share := progress.share_spent) is not None:
        row.append(ProgressBar(total=1.0, completed=share, width=24))
    wall = format_duration(spent.wall_s)
    row.append(wall if left is None else f"{wall}, {format_duration(left)} left")
    line = Table.grid(padding=(0, 2))
    line.add_row(*row)
    return line


def _best(progress: Progress) -> Text:
    if progress.best is None:
        return Text("none yet", style="dim")
    candidate = progress.best.candidate
    text = _speedup(progress.best.evaluation.speedup)
    return text.append(f"  #{candidate.number} {candidate.operator}", style="not bold default")


def _speedup(speedup: Speedup | None) -> Text:
    """Green: faster than the fastest baseline beyond doubt; red: slower; yellow: not known."""
    if speedup is None:
        return Text(format_speedup(None))
    style = "green" if speedup.low > 1 else "red" if speedup.high < 1 else "yellow"
    return Text(format_speedup(speedup), style=f"bold {style}")


def _outcomes(progress: Progress) -> RenderableType:
    texts = [
        Text(
            f"{outcome.replace('_', ' ')} {count}",
            style="green" if outcome is Outcome.PASSED else "",
            no_wrap=True,
        )
        for outcome in reversed(Outcome)
        if (count := progress.outcomes[outcome])
    ]
    return Columns(texts, padding=(0, 2)) if texts else Text("none yet", style="dim")


def _usage(progress: Progress) -> Text:
    spent = progress.spent
    rate = [f"{spent.evaluations / spent.wall_s:.1f} evaluations/s"] if spent.evaluations else []
    parts = [
        f"{progress.device_share:.0%}",
        *rate,
        f"{len(progress.under_way)} in flight",
        f"spent ${spent.cost_usd:.2f}",
    ]
    return Text("  ".join(parts))


def _under_way(progress: Progress) -> Text:
    named = []
    for candidate in list(progress.under_way.values())[:NAMED]:
        parents = ", ".join(f"#{parent}" for parent in candidate.parents)
        of = f" of {parents}" if parents else ""
        named.append(f"#{candidate.number} {candidate.operator}{of}")
    return Text("  ".join(_with_more(named, len(progress.under_way))), style="dim")


def _with_more(named: list[str], count: int) -> list[str]:
    return [*named, f"and {count - len(named)} more"] if count > len(named) else named


def _improvements(progress: Progress) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(justify="right", no_wrap=True, style="dim")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis", style="dim")
    for improvement in reversed(progress.improvements):
        kernel = improvement.kernel
        when = "earlier" if improvement.wall_s is None else format_duration(improvement.wall_s)
        table.add_row(
            when,
            f"#{kernel.number}",
            _speedup(kernel.evaluation.speedup),
            Text(kernel.candidate.operator),
            Text(one_line(kernel.candidate.note)),
        )
    return table
