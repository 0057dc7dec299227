"""What a person sees of a run: a live panel in a terminal, progress lines anywhere else."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TextIO

from evo.events import (
    BaselinesMeasured,
    Event,
    Finished,
    Judged,
    Message,
    Remeasured,
    Resumed,
    Started,
)
from evo.progress import Improvement, Progress
from evo.tables import (
    PROVISIONAL,
    closing_table,
    format_count,
    format_duration,
    format_ms,
    format_speedup,
    one_line,
    text_table,
)
from populations.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from evo.budget import Budget

# Seconds between two progress lines when nothing improves.
QUIET_S = 10.0


class View(AbstractContextManager["View"], Protocol):
    """An observer that owns the terminal while it is open."""

    def notify(self, event: Event) -> None:
        """Show one event."""


def terminal_view(stream: TextIO | None = None) -> View:
    """The view that suits a stream: live in a terminal, lines in a file or a pipe.

    Use it as a context manager around the run; leaving it gives the terminal back.

    Args:
        stream: Where to show it; standard output if None.
    """
    stream = stream or sys.stdout
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from evo.live import LiveView

        return LiveView(stream)
    return PlainView(stream)


class PlainView(View):
    """Lines of text: one per improvement, and one every ten seconds or so.

    Args:
        stream: Where the lines go; flushed after each.
        clock: Monotonic seconds.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._progress = Progress(clock=clock)
        self._said_at = clock()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to give back."""

    def notify(self, event: Event) -> None:
        """Print what the event is worth."""
        progress = self._progress
        progress.add(event)
        match event:
            case Started():
                self._say(_headline(event))
            case BaselinesMeasured(table):
                for workload, times in table.items():
                    listed = ", ".join(f"{name} {format_ms(ms)} ms" for name, ms in times.items())
                    self._say(f"  {workload}: {listed}")
            case Resumed():
                self._say(f"going on from {format_count(len(event.kernels), 'kernel')}")
            case Judged(is_best=True):
                self._say(_improved(progress.improvements[-1]))
            case Remeasured(is_new=True):
                self._say(_fell(event))
            case Message(text):
                self._say(one_line(text))
            case Finished():
                self._close(event)
            case _ if self._clock() - self._said_at >= QUIET_S:
                self._say(_status(progress))

    def _close(self, event: Finished) -> None:
        self._say("\n".join(closing_lines(event)))
        if event.table:
            self._say(f"\n{text_table(*closing_table(event.table))}\n")
        self._say("\n".join(file_lines(event)))

    def _say(self, text: str) -> None:
        self._said_at = self._clock()
        encoding = self._stream.encoding or "utf-8"
        # A reader that went away (`| head`) must not end the search.
        with contextlib.suppress(OSError):
            self._stream.write(f"{text}\n".encode(encoding, "replace").decode(encoding))
            self._stream.flush()


def closing_lines(event: Finished) -> list[str]:
    """How the run ended and who won, one or two lines."""
    spent = event.spent
    used = [format_duration(spent.wall_s)]
    if spent.cost_usd:
        used.append(f"{spent.cost_usd:.3g} US dollars")
    lines = [
        f"{format_count(spent.evaluations, 'evaluation')} in {' and '.join(used)}; "
        f"stopped: {one_line(event.reason)}"
    ]
    if event.champion is None:
        return [*lines, "no kernel passed, so there is no champion"]
    speedup = format_speedup(event.champion.evaluation.speedup)
    standing = PROVISIONAL if event.provisional else ""
    champion = f"champion #{event.champion.number}{standing}"
    return [*lines, f"{champion}: {speedup} over the fastest baseline"]


def file_lines(event: Finished) -> list[str]:
    """The run's files, one line each."""
    label = max((len(what) for what in event.files), default=0)
    return [f"{what:<{label}}  {path}" for what, path in event.files.items()]


def _headline(event: Started) -> str:
    return (
        f"{event.experiment} on {device_line(event)}, {format_count(event.workers, 'worker')}, "
        f"budget {budget_line(event.budget)}"
    )


def device_line(event: Started) -> str:
    """The device in a few words: cpu (AMD EPYC 9B14, 2 threads)."""
    threads = f", {format_count(event.threads, 'thread')}" if event.device == "cpu" else ""
    return f"{event.device} ({one_line(event.device_name, 60)}{threads})"


def budget_line(budget: Budget) -> str:
    """The limits of a run in words."""
    limits = []
    if budget.evaluations is not None:
        limits.append(format_count(budget.evaluations, "evaluation"))
    if budget.wall_s is not None:
        limits.append(format_duration(budget.wall_s))
    if budget.device_s is not None:
        limits.append(f"{format_duration(budget.device_s)} of the device")
    if budget.patience is not None:
        limits.append(f"{format_count(budget.patience, 'evaluation')} without a new champion")
    if budget.cost_usd is not None:
        limits.append(f"{budget.cost_usd:g} US dollars for models")
    if budget.tokens is not None:
        limits.append(f"{budget.tokens} tokens")
    if budget.calls is not None:
        limits.append(format_count(budget.calls, "model call"))
    return " or ".join(limits) or "without limit"


def _improved(improvement: Improvement) -> str:
    kernel = improvement.kernel
    when = "" if improvement.wall_s is None else format_duration(improvement.wall_s)
    note = one_line(kernel.candidate.note, 120)
    return (
        f"{when:>7}  best {format_speedup(kernel.evaluation.speedup)}  "
        f"#{kernel.number} {kernel.candidate.operator}{f': {note}' if note else ''}"
    )


def _fell(event: Remeasured) -> str:
    kernel, champion = event.kernel, event.champion
    now = "no champion"
    if champion is not None:
        now = f"best {format_speedup(champion.evaluation.speedup)}  #{champion.number}"
    again = f"#{kernel.number} is {format_speedup(kernel.evaluation.speedup)}"
    return f"{format_duration(event.spent.wall_s):>7}  {now}: measured again, {again}"


def _status(progress: Progress) -> str:
    spent, limit = progress.spent, progress.budget.evaluations
    best = format_speedup(progress.best.evaluation.speedup) if progress.best else "none yet"
    parts = [
        f"{spent.evaluations}{'' if limit is None else f'/{limit}'} evaluations",
        f"{progress.outcomes[Outcome.PASSED]} passed",
        f"best {best}",
        f"device busy {progress.device_share:.0%}",
    ]
    if spent.cost_usd:
        parts.append(f"{spent.cost_usd:.3g} US dollars")
    if progress.time_left_s is not None:
        parts.append(f"{format_duration(progress.time_left_s)} left")
    return f"{format_duration(spent.wall_s):>7}  {', '.join(parts)}"
