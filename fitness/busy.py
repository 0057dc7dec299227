"""How long a call keeps the device busy, from outside: the driver's word and the judge's own clock.

A candidate's process tells how long launching takes, and the judge's clock alone cannot tell
launching from computing (`fitness.clocks.Between`). The driver can: it samples the share of the
time in which the device ran anything. So calls are made for some seconds, one at a time, and a
call's device time is that share of the time over the number of calls.

- One call a batch: every call is a batch's last, which may be looked at, so none can be left out.
- Other kernels run between calls (inputs renewed, outputs poisoned and copied), and others may use
  the device. Both are seen in a stretch without the calls, made by a process of our own once the
  candidate's are gone: while they live they could keep the device busy to be given that off. Its
  share of the time is taken off, though there are fewer calls in a second with the calls than
  without: this gives a call up to some microseconds, and others nothing to be accused of.
- What counts is the median of the driver's windows, in the better of two stretches: a neighbour
  must be in half of them, twice, and not in the stretch without the calls.
- It accuses and never excuses: where the driver tells nothing, there is no conclusion.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

from fitness import statistics
from fitness.clocks import Bare
from fitness.nvml import nvml

# How long calls are made: eight windows of the H200's driver, the first and the last left out.
STRETCH_S = 1.6
# How often at most: the least counts, because a neighbour can only make it more.
TRIES = 2
# The first calls, fewer where they take longer together than this: where the judge's clock alone
# shows that they take no more than is allowed, there are no others.
_FIRST_CALLS = (5, 24)
_FIRST_MS = 20.0
# How many of the first and of the others are looked at.
_FIRST_LOOKS, _STRETCH_LOOKS = 2, 4
LOOKS = TRIES * (_FIRST_LOOKS + _STRETCH_LOOKS)
# A kernel has kept the device busy longer than it says beyond this factor, ...
CLAIM_FACTOR = 1.5
# ... this share of the time from call to call (a driver that tells whole percents errs by one in
# either stretch) ...
READING_SHARE = 0.03
# ... and this: what a kernel on its own takes longer than one behind another.
ALONE_MS = 0.01
# Fewer whole windows than this say nothing, nor do longer ones than any known driver has.
_FEWEST_WINDOWS = 4
_LONGEST_WINDOW_S = 1.1
# What a sample's time means may differ by a window: so much at either end is left out.
_EDGE_S = 0.2
# A driver tells of a window some time after its end.
_PATIENCE_S = 1.5
_POLL_S = 0.05


class Window(NamedTuple):
    """A time between two of the driver's samples, in seconds since the epoch.

    Attributes:
        start_s: Its beginning.
        end_s: Its end.
        share: Of it, in which the device ran anything; 0 to 1.
    """

    start_s: float
    end_s: float
    share: float


class Meter:
    """What a driver tells of how busy its device was."""

    def __init__(
        self,
        samples: Callable[[], Sequence[tuple[float, float]]],
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Read the samples of a driver.

        Args:
            samples: Gives the latest, the oldest first, as `fitness.nvml.Nvml.utilisation` does.
            clock: Seconds since the epoch, which the samples' times count from too.
            sleep: Waits; both are replaced in tests.
        """
        self._samples = samples
        self.clock = clock
        self._sleep = sleep

    @classmethod
    def of(cls, device: str) -> Meter | None:
        """The meter of a device as torch names it; None where its driver tells nothing."""
        library = nvml(device) if device.startswith("cuda") else None
        return cls(library.utilisation) if library and library.utilisation() else None

    def within(self, start_s: float, end_s: float) -> list[Window]:
        """The whole windows within a time that is over, but for its edges; [] for too few."""
        start_s, end_s = start_s + _EDGE_S, end_s - _EDGE_S
        deadline = self.clock() + _PATIENCE_S
        samples = self._samples()
        while (not samples or samples[-1][0] < end_s) and self.clock() < deadline:
            self._sleep(_POLL_S)
            samples = self._samples()
        found = [
            Window(before, at, share)
            for (before, _), (at, share) in pairwise(samples)
            if start_s <= before < at <= end_s and at - before <= _LONGEST_WINDOW_S
        ]
        return found if len(found) >= _FEWEST_WINDOWS else []


class Caller(Protocol):
    """Whoever makes calls without a hold: a `fitness.subject.Subject`."""

    def bare(self, calls: int, *, empty: bool = False, look: bool = True) -> Bare:
        """One batch, looked at or not; `empty` for no calls in it."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Calls made for some time, one a batch.

    Attributes:
        call_ms: From one call to the next by the judge's clock, on average.
        shares: Of each of the driver's windows, in which the device was busy; empty where the
            clock alone was enough, or where the driver told too little.
        windows_ms: From one call to the next in each of these.
        by_clock: Whether the clock alone was enough.
    """

    call_ms: float
    shares: tuple[float, ...] = ()
    windows_ms: tuple[float, ...] = ()
    by_clock: bool = False

    @property
    def share(self) -> float:
        """How busy the device was, in the middle one of the windows."""
        return statistics.median(self.shares)

    def device_ms(self, others: float = 0.0) -> float:
        """How long a call kept the device busy, in the middle one of the windows.

        Args:
            others: The share of the time that is none of the calls' doing.
        """
        pairs = zip(self.shares, self.windows_ms, strict=True)
        return statistics.median([max(share - others, 0.0) * ms for share, ms in pairs])


def allowed_ms(claimed_ms: float, call_ms: float) -> float:
    """How long a call may keep the device busy by the driver's word.

    Args:
        claimed_ms: What it takes by the word of its process.
        call_ms: From one call to the next, which the driver's precision is a share of.
    """
    return CLAIM_FACTOR * claimed_ms + READING_SHARE * call_ms + ALONE_MS


def stretch(
    caller: Caller,
    meter: Meter,
    rng: random.Random,
    *,
    claimed_ms: float = 0.0,
    empty: bool = False,
    length_s: float = STRETCH_S,
) -> Stretch:
    """Make calls one at a time and see how busy that keeps the device; it must be leased alone.

    Args:
        caller: Makes them.
        meter: Of the device.
        rng: Draws which of them are looked at: some of the first, and some of the others.
        claimed_ms: What one is said to take; where the first calls take no more than that allows,
            with all that lies around them, there are no others.
        empty: Whether to leave out the calls themselves.
        length_s: For how long.

    Raises whatever the caller's owner wants to hear about.
    """
    clock = meter.clock
    fewest, most = _FIRST_CALLS
    first = min(max(math.ceil(_FIRST_MS / max(claimed_ms, 1e-3)), fewest), most)
    looked = set() if empty else set(rng.sample(range(first), _FIRST_LOOKS))
    start_s = clock()
    for number in range(first):
        caller.bare(1, empty=empty, look=number in looked)
    call_ms = (clock() - start_s) * 1e3 / first
    # The device cannot have been busy for longer than everything took.
    if not empty and call_ms <= allowed_ms(claimed_ms, 0.0):
        return Stretch(call_ms, by_clock=True)
    start_s = clock()
    due_s = sorted(
        start_s + rng.uniform(0, length_s) for _ in range(0 if empty else _STRETCH_LOOKS)
    )
    ends_s = [start_s]
    while ends_s[-1] < start_s + length_s:
        # At moments of our own: nobody knows how many calls there will be.
        look = bool(due_s) and ends_s[-1] >= due_s[0]
        if look:
            del due_s[0]
        caller.bare(1, empty=empty, look=look)
        ends_s.append(clock())
    call_ms = (ends_s[-1] - start_s) * 1e3 / (len(ends_s) - 1)
    windows = meter.within(start_s, ends_s[-1])
    made = [sum(w.start_s < end_s <= w.end_s for end_s in ends_s) for w in windows]
    if not all(made):
        # A call is as long as a window: the clock alone times it well enough.
        windows = []
    return Stretch(
        call_ms,
        tuple(w.share for w in windows),
        tuple((w.end_s - w.start_s) * 1e3 / n for w, n in zip(windows, made, strict=False)),
    )


def fault(name: str, claimed_ms: float, found: Stretch, empty: Stretch | None = None) -> str:
    """How a kernel's claim differs from how busy it kept the device, or "".

    Args:
        name: The kernel's.
        claimed_ms: What a call takes by its word, at the clock that the device had in `found`.
        found: What was seen of it.
        empty: The same without its calls, by a process of our own, when its processes were gone.
            None: nothing is taken off for what lies between calls, so it is a suspicion.
    """
    if not found.shares or (empty and not empty.shares):
        return ""
    device_ms = found.device_ms(empty.share if empty else 0.0)
    if device_ms <= allowed_ms(claimed_ms, found.call_ms):
        return ""
    return (
        f"{name} reports {claimed_ms:.3f} ms a call, but the device was busy for "
        f"{device_ms:.3f} ms of each by its driver's word ({len(found.shares)} samples)"
    )


def facts(found: Stretch, empty: Stretch | None = None) -> dict[str, Any]:
    """JSON-able: what was seen; `concluded` says whether anything follows of it.

    `busy_ms` is how long the device was busy from one call to the next, `device_ms` what of it is
    the call's at least; neither is there where the judge's clock alone was enough.
    """
    told: dict[str, Any] = {"call_ms": found.call_ms, "concluded": True}
    if found.by_clock:
        return told
    if not found.shares or (empty and not empty.shares):
        return {**told, "concluded": False, "reason": "the driver told too few samples"}
    told |= {"busy": found.share, "busy_ms": found.device_ms(), "samples": len(found.shares)}
    if empty:
        told |= {"busy_without": empty.share, "device_ms": found.device_ms(empty.share)}
    return told
