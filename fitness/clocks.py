"""Two clocks for one batch: the process's own, and what its answer took; where they disagree."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Answers need tens of microseconds; beyond this much, and this share, the two clocks disagree.
CLOCK_SLACK_MS = 0.3
_CLOCK_SLACK_SHARE = 0.1
# What lies between the calls of a batch takes a candidate at most this much longer than a baseline.
_RENEWAL_SLACK = 1.5
# What the launches of one call are believed to take the host. A module with one Triton launch took
# 62 to 78 us a call from Python (two processes, H200), so this is three or four of them.
LAUNCHES_MS = 0.25
# What a process may run within a time, beyond its number of threads.
_PARALLEL_SLACK = 1.25


class ClockError(Exception):
    """A process reports times that do not fit the time its answers took."""


def slack_ms(inside_ms: float, renewal_ms: float, calls: float) -> float:
    """By how much an answer may take longer than what it reports.

    Args:
        inside_ms: What is reported for all calls.
        renewal_ms: What lies between two calls of a baseline: renewing the inputs.
        calls: How many.
    """
    between_ms = _RENEWAL_SLACK * max(renewal_ms, 0.0) * calls
    return CLOCK_SLACK_MS + _CLOCK_SLACK_SHARE * inside_ms + between_ms


@dataclass(frozen=True, slots=True)
class Bare:
    """One batch on a device that nobody held back (`fitness.pace.Way`).

    Attributes:
        calls: How many.
        wall_ms: What its answer took, by the judge's clock.
        launch_ms: How long its process says that launching took; to be believed of our own alone.
    """

    calls: int
    wall_ms: float
    launch_ms: float

    @property
    def call_ms(self) -> float:
        """A call with all that lies around it."""
        return self.wall_ms / self.calls


@dataclass(frozen=True, slots=True)
class Between:
    """What the judge itself adds to a call that nobody holds back, seen in a process of our own.

    Attributes:
        calls: Of the batches it was seen in, the same number as in those that it is taken from.
        call_ms: Renewing the inputs and whatever else an answer needs, per call.
        launch_ms: What of it the host needs to launch that.
    """

    calls: int
    call_ms: float
    launch_ms: float

    @classmethod
    def quickest(cls, empty: Sequence[Bare]) -> Between:
        """From batches of one size without calls; a neighbour can only make them longer."""
        return cls(
            calls=empty[0].calls,
            call_ms=min(b.call_ms for b in empty),
            launch_ms=min(b.launch_ms / b.calls for b in empty),
        )

    def takes_ms(self, bare: Bare) -> float:
        """What a call took at most, by the judge's clock alone."""
        return max(bare.call_ms - self.call_ms, 0.0)

    def explains(self, bare_ms: float, held_ms: float, launches_ms: float = 0.0) -> bool:
        """Whether a call's time by the judge's clock is the reported one but for its launching.

        A call may take as long to launch as the judge's own few launches. Whoever needs longer
        may be launching or computing: nobody outside can tell.

        Args:
            bare_ms: A call's `takes_ms`.
            held_ms: What is reported of calls that the host had launched ahead.
            launches_ms: What its launches are believed to take beyond the judge's own.
        """
        allowed_ms = slack_ms(self.calls * held_ms, 0.0, self.calls) / self.calls
        return bare_ms <= held_ms + self.launch_ms + launches_ms + allowed_ms


@dataclass(frozen=True, slots=True)
class Audit:
    """One long batch.

    Attributes:
        calls: How many.
        inside_ms: What its owner reports for all of them.
        wall_ms: What its answer took.
        ran_ms: How long its process ran meanwhile; 0 where the kernel does not say.
    """

    calls: int
    inside_ms: float
    wall_ms: float
    ran_ms: float

    @property
    def took_ms(self) -> float:
        """What it took but for waiting: whoever is kept waiting for a processor does not run."""
        return min(self.wall_ms, self.ran_ms) if self.ran_ms else self.wall_ms

    @property
    def renewal_ms(self) -> float:
        """What lies between two calls, by the clock alone: so is what lies inside of them."""
        return max(self.wall_ms - self.inside_ms, 0.0) / self.calls

    def fault(self, name: str, renewal_ms: float, threads: int) -> str:
        """How the clocks disagree, or ""; `renewal_ms` is what a baseline needs for it."""
        if self.ran_ms > _PARALLEL_SLACK * threads * self.wall_ms + CLOCK_SLACK_MS:
            return (
                f"{name} ran {self.ran_ms:.3f} ms within {self.wall_ms:.3f} ms, on more than "
                f"{threads} processors"
            )
        took_ms = self.took_ms
        if took_ms - self.inside_ms > slack_ms(self.inside_ms, renewal_ms, self.calls):
            return f"{name} reports {self.inside_ms:.3f} ms for a batch that took {took_ms:.3f} ms"
        return ""


def quick(values: Sequence[float]) -> float:
    """The quickest tenth's end: a neighbour may hold up most answers, but not all of them."""
    return sorted(values)[len(values) // 10]


def waited_ms(pid: int) -> float:
    """Milliseconds that the threads of a process have waited for a processor, by the kernel.

    0 when the kernel does not say (no scheduler statistics, or the process is gone).
    """
    return _scheduled_ms(pid, 1)


def ran_ms(pid: int) -> float:
    """Milliseconds that the threads of a process have run, by the kernel; 0 like `waited_ms`."""
    return _scheduled_ms(pid, 0)


def _scheduled_ms(pid: int, column: int) -> float:
    total = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text(encoding="ascii").split()[column])
    except (OSError, IndexError, ValueError):
        return 0.0
    return total / 1e6


def bring(pid: int, processor: int) -> None:
    """Have a process that waits for a question continue on this processor, if that is allowed.

    It is woken there then, without another processor being called from its rest, which takes a
    virtual machine as long as a short batch. It frees itself when it continues (`fitness.pace`).
    """
    with suppress(OSError):
        os.sched_setaffinity(pid, {processor})
