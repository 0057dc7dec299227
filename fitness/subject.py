"""A process that times calls when asked to, and how large its batches are."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Protocol

from fitness import statistics
from fitness.clocks import CLOCK_SLACK_MS, Audit, Bare, Between, ClockError, quick, slack_ms
from fitness.spec import EvaluationSpec

# A batch lasts as long as this many calls, within these bounds: short kernels are not worth
# milliseconds each, and a wake-up costs tens of microseconds whatever follows.
_BATCH_CALLS = 12
_BATCH_MS = (0.025, 2.0)
_SETTLE_SHARE = 0.5
# A batch has so many calls all the same, unless they take longer than this: a median of three
# leaves out one that was held up.
_FEWEST_CALLS = 4
_FEWEST_CALLS_MS = 20.0
# A batch has at least so many quarters of the calls that it may have.
_FEWEST_SHARE = 3
# Subjects whose calls take the same but for this factor have batches of one size.
_ALIKE = 2.0
_CUDA_CALLS = (5, 20)
_CUDA_WARM_MS = 50.0
_DISTURBED_SHARE = 0.05
_DISTURBED_MS = 0.05
# An audited batch lasts so many milliseconds, and has so many calls at most: a device that nobody
# holds back takes no more launches ahead.
_AUDIT_MS = 5.0
_AUDIT_CALLS = {"cpu": 1000, "cuda": 100}
# Nor does one of a baseline last longer than this, unless it takes that for the fewest calls.
_BARE_MS = 50.0


class Subject(Protocol):
    """A process that times calls of one kernel on one workload when asked to."""

    @property
    def name(self) -> str:
        """The candidate's or the baseline's name."""

    def batch(self, calls: int, settle_ms: float, *, look: bool = False) -> list[float]:
        """Call for `settle_ms`, then time `calls` calls; either may be 0, for nothing of it.

        With `look` the owner looks at the last call's outputs for sure.

        Returns milliseconds, one number per call; anything for no calls.

        Raises whatever its owner wants to hear about: nothing is caught here.
        """

    def bare(self, calls: int, *, empty: bool = False, look: bool = True) -> Bare:
        """One batch on a device that nobody holds back; `empty` for no calls in it.

        With `look` the owner looks at the last call's outputs.

        Raises whatever its owner wants to hear about.
        """

    def move(self, processor: int) -> None:
        """Begin the next batches on this processor; on any if negative."""

    def waited_ms(self) -> float:
        """How long its threads have waited for a processor so far, in total."""

    def ran_ms(self) -> float:
        """How long its threads have run so far, in total."""

    @property
    def set_aside_ms(self) -> float:
        """What of the last batch's answer is no work of the subject (`fitness.batches`)."""


def _ask(subject: Subject, calls: int, settle_ms: float) -> list[float]:
    """A batch of at least one call, its times looked at before anything is made of them."""
    times = subject.batch(calls, settle_ms)
    # No call of anything takes less than a nanosecond, on any clock. A sum with NaN is NaN.
    if len(times) != calls or not (min(times) >= 1e-6 and sum(times) < math.inf):
        raise ClockError(f"{subject.name} reports {times} ms per call for {calls} calls")
    return times


class Timed:
    """One subject with the size of its batches and what its last batch showed.

    Attributes:
        name: The subject's.
        threads: Processors that it may keep busy.
        calls: The most calls of a batch.
        call_ms: What one takes at best, as far as probed; 0 before.
        disturbed: Whether its last batch was kept waiting for a processor, beyond a bound.
        waited_ms: For how long.
        suspected: Whether the time that its process runs is measured too.
        ahead: Whether launches run ahead of its device.
        renewal_ms: What lay between two calls of its long batches at least; 0 before any.
    """

    def __init__(
        self,
        subject: Subject,
        spec: EvaluationSpec,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            subject: Who is timed.
            spec: The device, and the number of threads.
            clock: Seconds; replaced in tests.
        """
        self.name = subject.name
        self.threads = spec.threads
        self.calls = 1
        self.call_ms = 0.0
        self.disturbed = False
        self.waited_ms = 0.0
        self.suspected = False
        self.ahead = spec.device != "cpu"
        self.renewal_ms = 0.0
        self._subject = subject
        self._clock = clock
        self._settle_ms = 0.0
        self._unaccounted_ms: list[float] = []
        self._inside_ms: list[float] = []
        self._ran_ms: list[float] = []

    def probe(self) -> None:
        """Find out how many calls make a batch; the first calls compile and warm up.

        Others may use the device meanwhile. Raises ClockError for times that cannot be.
        """
        if self.ahead:
            call_ms = statistics.median(_ask(self._subject, 3, _CUDA_WARM_MS))
            fewest, most = _CUDA_CALLS
            self.calls = min(max(math.ceil(_BATCH_MS[1] / max(call_ms, 1e-4)), fewest), most)
            return
        call_ms = math.inf
        for attempt in range(4):
            # The least of all: two subjects of one speed are to have batches of one size, and the
            # median of few calls depends on their number where a neighbour holds up some.
            self.call_ms = call_ms = min(call_ms, *_ask(self._subject, self.calls, 0.0))
            before, (self.calls, self._settle_ms) = self.calls, _batch_of(call_ms)
            # A first call may take many times as long as those that follow, and a neighbour may
            # hold up two.
            sure = self.calls >= _FEWEST_CALLS or call_ms >= _FEWEST_CALLS_MS
            if attempt and sure and self.calls <= 2 * before:
                break

    def size(self, call_ms: float) -> None:
        """Have batches for calls that take this long, as was found before; nothing is asked."""
        self.call_ms = call_ms
        self.calls, self._settle_ms = _batch_of(call_ms)

    def adopt(self, other: Timed) -> None:
        """Have batches at least as long as another's, whose calls take about as long.

        The first call of a batch finds colder caches than the others: of two batches of one kernel,
        the one with fewer calls shows longer times.
        """
        if self.call_ms and self.call_ms < _ALIKE * other.call_ms < _ALIKE**2 * self.call_ms:
            self.calls = max(self.calls, other.calls)
            self._settle_ms = max(self._settle_ms, other._settle_ms)

    def batch(self, rng: random.Random) -> float:
        """One batch: its median time per call, in milliseconds."""
        # Nobody can know which call is the last, and a clock must be right for several numbers.
        calls = rng.randint(-(-_FEWEST_SHARE * self.calls // 4), self.calls)
        # Reading the kernel's counters costs as much as the shortest batches last.
        suspected = self.suspected and not self.ahead
        watched = not self.ahead and (self._settle_ms >= _SETTLE_SHARE or suspected)
        settle_ms, before = self._settle_ms, 0.0
        if watched:
            # Apart, so that it is not seen how the other process's threads come to rest.
            self._subject.batch(0, settle_ms)
            settle_ms, before = 0.0, self._subject.waited_ms()
        ran_ms = self._subject.ran_ms() if suspected else 0.0
        start = self._clock()
        times = _ask(self._subject, calls, settle_ms)
        wall_ms = (self._clock() - start) * 1e3
        waited = self._subject.waited_ms() - before if watched else 0.0
        inside = sum(times)
        self._inside_ms.append(inside)
        # 0 where the kernel does not say.
        if suspected and (ran_ms := self._subject.ran_ms() - ran_ms):
            self._ran_ms.append(ran_ms - self.threads * inside)
        rest_ms = wall_ms - settle_ms - inside
        # A hold may turn out shorter than asked for; that is nobody's doing.
        self._unaccounted_ms.append(max(rest_ms - self._subject.set_aside_ms, min(rest_ms, 0.0)))
        self.disturbed = waited > max(_DISTURBED_SHARE * inside, _DISTURBED_MS)
        self.waited_ms = waited
        return statistics.median(times)

    def move(self, processor: int) -> None:
        """Begin the next batches on this processor; on any if negative."""
        self._subject.move(processor)

    def unaccounted_ms(self) -> float:
        """How much longer its answers took than it reports, in the quickest tenth of batches.

        A neighbour may hold up most answers for milliseconds, but not all of them.
        """
        return quick(self._unaccounted_ms)

    def clock_fault(self, call_ms: float) -> str:
        """Compare the reported times with ours over all batches; says how they differ, or "".

        Args:
            call_ms: What `unaccounted_ms` is for each call of a baseline: renewing its inputs.
        """
        missing_ms = self.unaccounted_ms()
        if self._ran_ms and missing_ms > 0:
            # Whoever is kept waiting for a processor does not run.
            missing_ms = max(min(missing_ms, quick(self._ran_ms)), 0.0)
        inside_ms = statistics.median(self._inside_ms)
        # Settling ends with a whole call, unless it was asked for apart.
        allowed_ms = slack_ms(inside_ms, call_ms, self.calls) + inside_ms / self.calls
        if missing_ms < -CLOCK_SLACK_MS or missing_ms > allowed_ms:
            took_ms = inside_ms + missing_ms
            return f"{self.name} reports {inside_ms:.3f} ms for batches that took {took_ms:.3f} ms"
        return ""

    def look(self) -> None:
        """One more batch, whose outputs are looked at."""
        self._subject.batch(self.calls, 0.0, look=True)

    def audit(self, call_ms: float) -> Audit:
        """One long batch, whose outputs are looked at.

        Args:
            call_ms: What a call takes by its own account.
        """
        calls = min(max(math.ceil(_AUDIT_MS / call_ms), self.calls), _AUDIT_CALLS["cpu"])
        start, ran_ms = self._clock(), self._subject.ran_ms()
        times = self._subject.batch(calls, 0.0, look=True)
        wall_ms = (self._clock() - start) * 1e3
        return Audit(calls, sum(times), wall_ms, self._subject.ran_ms() - ran_ms)

    def bare(self, calls: int) -> Bare:
        """One batch on a device that nobody holds back, whose outputs are looked at."""
        return self._subject.bare(calls)

    def between(self, calls: int, times: int) -> Between:
        """What lies between calls that nobody holds back; for a process of our own."""
        return Between.quickest([self._subject.bare(calls, empty=True) for _ in range(times)])

    def forget(self) -> None:
        """Begin a measurement: what was noted of batches before does not count."""
        self._inside_ms.clear()
        self._unaccounted_ms.clear()
        self._ran_ms.clear()


def _batch_of(call_ms: float) -> tuple[int, float]:
    """How many calls a batch has, and for how long it settles before."""
    shortest, longest = _BATCH_MS
    batch_ms = min(max(_BATCH_CALLS * call_ms, shortest), longest)
    fewest = max(min(_FEWEST_CALLS, int(_FEWEST_CALLS_MS / call_ms)), 1)
    return max(math.ceil(batch_ms / call_ms), fewest), _SETTLE_SHARE * batch_ms


def bare_calls(call_ms: float, trusted_ms: float) -> int:
    """How many calls a batch has that nobody holds back.

    Args:
        call_ms: What a call takes by the word of the process that is in question.
        trusted_ms: What a baseline's takes.
    """
    fewest, most = _CUDA_CALLS[0], _AUDIT_CALLS["cuda"]
    wanted = min(math.ceil(_AUDIT_MS / call_ms), math.ceil(_BARE_MS / trusted_ms))
    return min(max(wanted, fewest), most)
