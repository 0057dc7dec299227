"""Time a candidate against baselines, in rounds, from a third process.

One round is one batch of calls of every subject, in random order, right after each other. What is
kept is, per round, the logarithm of baseline time over candidate time: what slows the machine down
for longer than a round slows both down alike and cancels. Each error that a choice here removes:

- another process ran in between, caches are cold and its threads may still spin: every batch
  begins with discarded calls for `settle_ms`;
- the clock's resolution and the loop around a call: a batch lasts `batch_ms`;
- always the same one first: the order is drawn anew for every round;
- a neighbour takes the processor away: the time that a process's threads waited for a processor
  is read from the kernel before and after, and a round in which it was more than 5% of a batch is
  dropped and repeated, unless the budget ends with too few quiet ones: then the quietest third
  counts;
- a clock that lies: a process's own time is compared with the time that its answer took.

Executions of a subject per workload: probes (at most 4 batches), then rounds * (settling calls +
calls per batch), the quiet ones being at least `pairs` unless budget or hopelessness ends it.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fitness import statistics
from fitness.spec import EvaluationSpec
from populations.outcome import Speedup

FEWEST_ROUNDS = 5
FEWEST_QUIET = 8
MOST_ROUNDS_FACTOR = 4
# Measurements in which a clock must be wrong before it counts as lying.
ATTEMPTS = 3
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
# Rounds beyond `pairs` are run only until this many calls' time has passed: a kernel of
# microseconds is not worth more.
_EXTENSION_CALLS = 1000
_CUDA_CALLS = (5, 20)
_CUDA_WARM_MS = 50.0
# Answers need tens of microseconds; beyond this much, and this share, the two clocks disagree.
_CLOCK_SLACK_MS = 0.3
_CLOCK_SLACK_SHARE = 0.1
# What lies between the calls of a batch takes a candidate at most this much longer than a baseline.
_RENEWAL_SLACK = 1.5
# A batch of microseconds hides in what an answer takes. So a candidate that claims this speedup,
# and a share of the others, has one batch of so many milliseconds, of at most so many calls.
_AUDIT_ABOVE = 1.2
_AUDIT_SHARE = 1 / 16
_AUDIT_MS = 5.0
_AUDIT_CALLS = {"cpu": 1000, "cuda": 40}
# What a process may run within a time, beyond its number of threads.
_PARALLEL_SLACK = 1.25
_DISTURBED_SHARE = 0.05
_DISTURBED_MS = 0.05


class ClockError(Exception):
    """A process reports times that do not fit the time its answers took."""


class Subject(Protocol):
    """A process that times calls of one kernel on one workload when asked to."""

    @property
    def name(self) -> str:
        """The candidate's or the baseline's name."""

    def batch(self, calls: int, settle_ms: float, *, look: bool = False) -> list[float]:
        """Call for `settle_ms`, then time `calls` calls; either may be 0, for nothing of it.

        With `look` the owner looks at the last call's outputs for sure.

        Returns milliseconds per call: one mean, or one number per call.

        Raises whatever its owner wants to hear about: nothing is caught here.
        """

    def waited_ms(self) -> float:
        """How long its threads have waited for a processor so far, in total."""

    def ran_ms(self) -> float:
        """How long its threads have run so far, in total."""

    @property
    def held_ms(self) -> float:
        """How long the device was held back on purpose for the last batch."""


@dataclass(slots=True)
class Rounds:
    """What was measured on one workload.

    Attributes:
        names: The subjects, the candidate first.
        times_ms: Per subject, milliseconds per call in each round, all rounds in order.
        disturbed: Per round, whether another process took processor time away.
        waited_ms: Per round, how long a subject waited for a processor at most; empty where
            nothing was read.
        calls: Per subject, calls per batch.
        gave_up: Whether timing ended early because the candidate is hopeless.
        device: "cpu" or "cuda".
    """

    names: tuple[str, ...]
    times_ms: dict[str, list[float]] = field(default_factory=dict)
    disturbed: list[bool] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    gave_up: bool = False
    device: str = ""
    waited_ms: list[float] = field(default_factory=list)

    def kept(self) -> list[int]:
        """Numbers of the rounds that count: the undisturbed ones, or the quietest when few are."""
        every = range(len(self.disturbed))
        quiet = [i for i in every if not self.disturbed[i]]
        if len(quiet) >= FEWEST_QUIET or not self.waited_ms:
            return quiet if len(quiet) >= FEWEST_QUIET else list(every)
        rank = min(max(FEWEST_QUIET, len(every) // 3), len(every)) - 1
        most = sorted(self.waited_ms)[rank]
        return [i for i in every if self.waited_ms[i] <= most]

    def log_ratios(self, baseline: str, candidate: str = "") -> list[float]:
        """ln(baseline time / candidate time) for every round that counts."""
        ours = self.times_ms[candidate or self.names[0]]
        theirs = self.times_ms[baseline]
        return [math.log(theirs[i] / ours[i]) for i in self.kept()]

    def speedup(self, baseline: str, candidate: str = "") -> Speedup:
        """The candidate against a baseline, with what chance does between and within processes."""
        candidate = candidate or self.names[0]
        call_ms = min(self.median_ms(candidate), self.median_ms(baseline))
        luck = statistics.luck(self.device, call_ms)
        return statistics.speedup(self.log_ratios(baseline, candidate), luck=luck)

    def median_ms(self, name: str) -> float:
        """A subject's median time of one call over the rounds that count."""
        times = self.times_ms[name]
        return statistics.median([times[i] for i in self.kept()])

    def facts(self) -> dict[str, Any]:
        """JSON-able: how it was measured."""
        return {
            "rounds": len(self.disturbed),
            "kept": len(self.kept()),
            "disturbed": sum(self.disturbed),
            "calls": dict(self.calls),
            "gave_up": self.gave_up,
        }


def measure(
    subjects: Sequence[Subject],
    spec: EvaluationSpec,
    rng: random.Random,
    *,
    trusted: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> Rounds:
    """Time all subjects on one workload; the device must be leased exclusively.

    Args:
        subjects: The candidate, then at least one baseline. With one alone there is nothing to
            pair, and the fewest rounds are run.
        spec: How many rounds, how long at most, when to give up.
        rng: Draws the order within a round.
        trusted: Whether the first subject is our own too.
        clock: Seconds; replaced in tests.

    Raises:
        ClockError: A subject's times cannot be, or the candidate's do not fit ours.
    """
    timed = [_Timed(s, spec.device, clock, spec.threads) for s in subjects]
    for one in timed:
        one.probe()
    for attempt in range(ATTEMPTS):
        rounds = _run(timed, spec, rng, clock)
        if trusted:
            break
        # On a machine with more work than processors an honest answer may come late every time in
        # one measurement; a clock that lies does so in each, and its process runs all the while.
        timed[0].suspected = True
        call_ms = min((one.unaccounted_ms() / one.calls for one in timed[1:]), default=0.0)
        fault = timed[0].clock_fault(call_ms) or _audit(timed, rounds, rng)
        if not fault:
            break
        if attempt == ATTEMPTS - 1:
            raise ClockError(fault)
    return rounds


def _audit(timed: Sequence[_Timed], rounds: Rounds, rng: random.Random) -> str:
    """Look at one more batch, a long one where much is claimed; says what is wrong, or ""."""
    ours, *others = timed
    claimed = others and all(rounds.speedup(one.name).low > _AUDIT_ABOVE for one in others)
    if not others or rounds.gave_up or not (claimed or rng.random() < _AUDIT_SHARE):
        ours.look()
        return ""
    call_ms = min(one.audit(rounds.median_ms(one.name)).renewal_ms for one in others[:1])
    return ours.audit(rounds.median_ms(ours.name)).fault(ours.name, call_ms, ours.threads)


@dataclass(frozen=True, slots=True)
class _Audit:
    """One long batch: what its owner reports, what its answer took, how long its process ran."""

    calls: int
    inside_ms: float
    wall_ms: float
    ran_ms: float

    @property
    def renewal_ms(self) -> float:
        """What lies between two calls."""
        return max(self.wall_ms - self.inside_ms, 0.0) / self.calls

    def fault(self, name: str, renewal_ms: float, threads: int) -> str:
        """How the clocks disagree, or ""; `renewal_ms` is what a baseline needs for it."""
        slack_ms = _CLOCK_SLACK_MS + _CLOCK_SLACK_SHARE * self.inside_ms
        slack_ms += _RENEWAL_SLACK * renewal_ms * self.calls
        took_ms = self.wall_ms
        if self.ran_ms:
            if self.ran_ms > _PARALLEL_SLACK * threads * self.wall_ms + _CLOCK_SLACK_MS:
                return (
                    f"{name} ran {self.ran_ms:.3f} ms within {self.wall_ms:.3f} ms, on more than "
                    f"{threads} processors"
                )
            # Whoever is kept waiting for a processor does not run.
            took_ms = min(took_ms, self.ran_ms)
        if took_ms - self.inside_ms > slack_ms:
            return f"{name} reports {self.inside_ms:.3f} ms for a batch that took {took_ms:.3f} ms"
        return ""


def _run(
    timed: Sequence[_Timed], spec: EvaluationSpec, rng: random.Random, clock: Callable[[], float]
) -> Rounds:
    names = tuple(one.name for one in timed)
    rounds = Rounds(
        names,
        {name: [] for name in names},
        calls={one.name: one.calls for one in timed},
        device=spec.device,
    )
    for one in timed:
        one.forget()
    order = list(timed)
    start = clock()
    while not _enough(rounds, spec, clock() - start):
        rng.shuffle(order)
        for one in order:
            rounds.times_ms[one.name].append(one.batch(rng))
        rounds.disturbed.append(any(one.disturbed for one in timed))
        rounds.waited_ms.append(max(one.waited_ms for one in timed))
    return rounds


def measure_once(subjects: Sequence[Subject]) -> Rounds:
    """One call of each subject: for kernels in an interpreter, whose times mean nothing."""
    rounds = Rounds(tuple(s.name for s in subjects), disturbed=[False])
    rounds.times_ms = {s.name: [_ask(s, 1, 0.0)[0]] for s in subjects}
    rounds.calls = dict.fromkeys(rounds.names, 1)
    return rounds


def _enough(rounds: Rounds, spec: EvaluationSpec, spent_s: float) -> bool:
    done = len(rounds.disturbed)
    if done < FEWEST_ROUNDS or len(rounds.names) == 1:
        return done >= FEWEST_ROUNDS
    if done == FEWEST_ROUNDS:
        intervals = [statistics.speedup(rounds.log_ratios(b)) for b in rounds.names[1:]]
        rounds.gave_up = all(s.high < spec.give_up_below for s in intervals)
    if rounds.gave_up or spent_s >= spec.timing_budget_s:
        return True
    if done - sum(rounds.disturbed) < spec.pairs:
        return done >= MOST_ROUNDS_FACTOR * spec.pairs
    slowest_ms = max(times[-1] for times in rounds.times_ms.values())
    if done >= MOST_ROUNDS_FACTOR * spec.pairs or spent_s * 1e3 >= _EXTENSION_CALLS * slowest_ms:
        return True
    widest = max(statistics.spread(rounds.log_ratios(b)) for b in rounds.names[1:])
    return widest <= spec.min_effect


def _ask(subject: Subject, calls: int, settle_ms: float) -> list[float]:
    """A batch of at least one call, its times looked at before anything is made of them."""
    times = subject.batch(calls, settle_ms)
    # No call of anything takes less than a nanosecond, on any clock.
    if len(times) not in (1, calls) or not all(math.isfinite(t) and t >= 1e-6 for t in times):
        raise ClockError(f"{subject.name} reports {times} ms per call for {calls} calls")
    return times


class _Timed:
    """One subject with the size of its batches and what its last batch showed."""

    def __init__(
        self, subject: Subject, device: str, clock: Callable[[], float], threads: int
    ) -> None:
        self.name = subject.name
        self.calls = 1
        self.disturbed = False
        self.waited_ms = 0.0
        self._subject = subject
        self._cuda = device != "cpu"
        self._clock = clock
        self._settle_ms = 0.0
        self._unaccounted_ms: list[float] = []
        self._inside_ms: list[float] = []
        self.threads = threads
        self._ran_ms: list[float] = []
        self.suspected = False
        """Whether the time that its process runs is measured too."""

    def probe(self) -> None:
        """Find out how many calls make a batch; the first calls compile and warm up."""
        if self._cuda:
            call_ms = statistics.median(_ask(self._subject, 3, _CUDA_WARM_MS))
            fewest, most = _CUDA_CALLS
            self.calls = min(max(math.ceil(_BATCH_MS[1] / max(call_ms, 1e-4)), fewest), most)
            return
        call_ms = math.inf
        for attempt in range(4):
            # The least of all: two subjects of one speed are to have batches of one size, and the
            # median of few calls depends on their number where a neighbour holds up some.
            call_ms = min(call_ms, *_ask(self._subject, self.calls, 0.0))
            shortest, longest = _BATCH_MS
            batch_ms = min(max(_BATCH_CALLS * call_ms, shortest), longest)
            fewest = max(min(_FEWEST_CALLS, int(_FEWEST_CALLS_MS / call_ms)), 1)
            before, self.calls = self.calls, max(math.ceil(batch_ms / call_ms), fewest)
            # A first call may take many times as long as those that follow.
            if attempt and self.calls <= 2 * before:
                break
        self._settle_ms = _SETTLE_SHARE * batch_ms

    def batch(self, rng: random.Random) -> float:
        """One batch: its median time per call, in milliseconds."""
        # Nobody can know which call is the last, and a clock must be right for several numbers.
        calls = rng.randint(-(-_FEWEST_SHARE * self.calls // 4), self.calls)
        # Reading the kernel's counters costs as much as the shortest batches last.
        suspected = self.suspected and not self._cuda
        watched = not self._cuda and (self._settle_ms >= _SETTLE_SHARE or suspected)
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
        inside = times[0] * calls if len(times) == 1 else sum(times)
        self._inside_ms.append(inside)
        # 0 where the kernel does not say.
        if suspected and (ran_ms := self._subject.ran_ms() - ran_ms):
            self._ran_ms.append(ran_ms - self.threads * inside)
        self._unaccounted_ms.append(wall_ms - settle_ms - self._subject.held_ms - inside)
        self.disturbed = waited > max(_DISTURBED_SHARE * inside, _DISTURBED_MS)
        self.waited_ms = waited
        return statistics.median(times)

    def unaccounted_ms(self) -> float:
        """How much longer its answers took than it reports, in the quickest tenth of batches.

        A neighbour may hold up most answers for milliseconds, but not all of them.
        """
        return _quick(self._unaccounted_ms)

    def clock_fault(self, call_ms: float) -> str:
        """Compare the reported times with ours over all batches; says how they differ, or "".

        Args:
            call_ms: What `unaccounted_ms` is for each call of a baseline: renewing its inputs.
        """
        missing_ms = self.unaccounted_ms()
        if self._ran_ms and missing_ms > 0:
            # Whoever is kept waiting for a processor does not run.
            missing_ms = max(min(missing_ms, _quick(self._ran_ms)), 0.0)
        inside_ms = statistics.median(self._inside_ms)
        slack_ms = _CLOCK_SLACK_MS + _CLOCK_SLACK_SHARE * inside_ms
        slack_ms += _RENEWAL_SLACK * max(call_ms, 0.0) * self.calls
        # Settling ends with a whole call, unless it was asked for apart.
        slack_ms += inside_ms / self.calls
        if missing_ms < -_CLOCK_SLACK_MS or missing_ms > slack_ms:
            took_ms = inside_ms + missing_ms
            return f"{self.name} reports {inside_ms:.3f} ms for batches that took {took_ms:.3f} ms"
        return ""

    def look(self) -> None:
        """One more batch, whose outputs are looked at."""
        self._subject.batch(self.calls, 0.0, look=True)

    def audit(self, call_ms: float) -> _Audit:
        """One long batch, whose outputs are looked at.

        Args:
            call_ms: What a call takes by its own account.
        """
        most = _AUDIT_CALLS["cuda" if self._cuda else "cpu"]
        calls = min(max(math.ceil(_AUDIT_MS / call_ms), self.calls), most)
        start, ran_ms = self._clock(), 0.0 if self._cuda else self._subject.ran_ms()
        times = self._subject.batch(calls, 0.0, look=True)
        wall_ms = (self._clock() - start) * 1e3 - self._subject.held_ms
        ran_ms = 0.0 if self._cuda else self._subject.ran_ms() - ran_ms
        inside_ms = times[0] * calls if len(times) == 1 else sum(times)
        return _Audit(calls, inside_ms, wall_ms, ran_ms)

    def forget(self) -> None:
        """Begin a measurement: what was noted of batches before does not count."""
        self._inside_ms.clear()
        self._unaccounted_ms.clear()
        self._ran_ms.clear()


def _quick(values: Sequence[float]) -> float:
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
