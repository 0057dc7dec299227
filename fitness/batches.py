"""Asking one subject for its timed batches: other contents each time, a look at some outputs.

Used for candidates and baselines alike. Imports no torch: the search process has baselines too.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from fitness.clocks import CLOCK_SLACK_MS, Bare, ClockError, ran_ms, waited_ms
from fitness.pace import Answer, Request, Way

# The host's lead over a device: what launching a call is taken for at first, by how much more than
# it took last time the device is held back, how often this is tried (a call that waits for the
# device has no lead however long it is held back), and how long at most, per batch.
_FIRST_LAUNCH_MS = 0.2
_LEAD_MARGIN = 1.3
_TRIES = 3
_MOST_HELD_MS = 50.0
# The batch whose outputs are looked at is one of the first so many, of which every timing has more.
_LOOKED_AT_AMONG = 5
# Checkpoints kept for looks that are asked for: batches after all rounds, so often at most. A batch
# of those that is not looked at could be left undone by whoever counts.
LATE_LOOKS = 3


class Checkpoint(Protocol):
    """Contents of one call with the reference's answer to them."""

    @property
    def secret(self) -> int:
        """What the contents follow from."""

    def fault(self, sample: int, seen: Sequence[float]) -> str:
        """How what a call wrote differs from what is right at the sampled positions, or ""."""


class Batches:
    """One subject's batches, one after the other."""

    def __init__(
        self,
        ask: Callable[[Request], Answer],
        rng: random.Random,
        *,
        subject: int = 0,
        device: str = "cpu",
        checkpoints: Sequence[Checkpoint] = (),
        share: float = 0.0,
        kept: int = LATE_LOOKS,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            ask: Puts one request to the process; raises whatever its owner wants to hear about.
            rng: Draws the secrets.
            subject: Number of the subject in its process.
            device: "cpu", or anything else for a device that launches run ahead of.
            checkpoints: Answers to look for: the first in one of the first batches, the others
                spread over the rest.
            share: How often a later batch is looked at, while there are checkpoints left.
            kept: How many are left for looks that are asked for.
            clock: Seconds; replaced in tests.
        """
        self.set_aside_ms = 0.0
        """What of the last batch's answer is no work of the subject: the device was held back, and
        tries that the host began too late for do not count."""
        self.processor = -1
        """Where the next batches begin; negative for anywhere."""
        self._ask = ask
        self._rng = rng
        self._subject = subject
        self._held = device != "cpu"
        self._launch_ms = _FIRST_LAUNCH_MS
        self._first = 0
        self._done = 0
        self._left = list(checkpoints)
        self._share = share
        self._kept = kept
        self._clock = clock
        self._wall_ms = 0.0
        self._seen: list[tuple[Checkpoint, int, Sequence[float]]] = []
        self._look_at = rng.randrange(_LOOKED_AT_AMONG)

    def batch(self, calls: int, settle_ms: float, *, look: bool = False) -> list[float]:
        """Milliseconds per call of one batch.

        Args:
            calls: How many.
            settle_ms: How long to call before.
            look: Whether to look at this batch's last call for sure, if a checkpoint is left.
        """
        self.set_aside_ms = 0.0
        if self._held and calls:
            return self._held_back(calls, settle_ms, look=look).times_ms
        return self._asked(calls, settle_ms, look=look).times_ms

    def bare(self, calls: int, *, empty: bool = False, look: bool = True) -> Bare:
        """One batch on a device that nobody holds back.

        Args:
            calls: How many, at least one.
            empty: Whether to leave out the calls themselves.
            look: Whether to look at its last call while a checkpoint is left: whoever is asked this
                way may know it.
        """
        way = Way.EMPTY if empty else Way.BARE
        answer = self._asked(calls, way=way, look=look and not empty)
        return Bare(calls, self._wall_ms, answer.launch_ms)

    def fault(self) -> str:
        """What is wrong with the outputs looked at since this was asked last, or "".

        To be asked when nobody is kept from the device any more: comparing takes time.
        """
        seen, self._seen = self._seen, []
        found = (checkpoint.fault(sample, samples) for checkpoint, sample, samples in seen)
        return next(filter(None, found), "")

    def _secret(self) -> int:
        return self._rng.getrandbits(63) + 1

    def _checkpoint(self, *, look: bool) -> Checkpoint | None:
        number = self._done
        self._done += 1
        if not self._left:
            return None
        if not look and number < self._look_at:
            return None
        spare = len(self._left) > self._kept
        if not look and number > self._look_at and not (spare and self._rng.random() < self._share):
            return None
        return self._left.pop()

    def _asked(
        self,
        calls: int,
        settle_ms: float = 0.0,
        held_ms: float = 0.0,
        way: Way = Way.TIMED,
        *,
        look: bool,
    ) -> Answer:
        """Put one request, on contents of its own, and see what it left if it is its turn."""
        checkpoint = self._checkpoint(look=look) if calls else None
        secret = checkpoint.secret if checkpoint else self._secret()
        subject, processor = self._subject, self.processor
        request = Request(
            subject, calls, self._first, settle_ms, held_ms, secret, 0, processor, way
        )
        start = self._clock()
        answer = self._ask(request)
        self._wall_ms = (self._clock() - start) * 1e3
        self._first = (self._first + calls) % (1 << 31)
        if not 0 <= answer.launch_ms <= self._wall_ms + CLOCK_SLACK_MS:
            raise ClockError(
                f"launching is said to have taken {answer.launch_ms:.3f} ms of an answer that took "
                f"{self._wall_ms:.3f} ms"
            )
        if checkpoint is not None:
            sample = self._secret()
            seen = self._ask(Request(subject, calls=0, sample=sample, processor=processor))
            self._seen.append((checkpoint, sample, seen.samples))
        return answer

    def _held_back(self, calls: int, settle_ms: float, *, look: bool) -> Answer:
        aside_ms = 0.0
        for _ in range(_TRIES):
            held_ms = min(_LEAD_MARGIN * self._launch_ms * calls, _MOST_HELD_MS)
            # Each try is one more batch, looked at or not: who is late is told nothing by what
            # comes next.
            answer = self._asked(calls, settle_ms, held_ms, look=look)
            look = False
            # Of the last try only the hold.
            self.set_aside_ms = aside_ms + held_ms
            aside_ms += self._wall_ms
            launch_ms = answer.launch_ms / calls
            if not answer.late:
                # What is measured while nothing waits is what it takes.
                self._launch_ms = max(launch_ms, 1e-3)
                break
            self._launch_ms = max(launch_ms, 2 * self._launch_ms)
        return answer


class ProcessSubject:
    """One subject of a process, for timing; implements `fitness.subject.Subject`."""

    def __init__(self, batches: Batches, name: str, pid: int) -> None:
        """Ask through `batches`; `pid` is the process's number in our own /proc."""
        self._batches = batches
        self._name = name
        self._pid = pid

    @property
    def name(self) -> str:
        """The candidate's or the baseline's name."""
        return self._name

    @property
    def set_aside_ms(self) -> float:
        """What of the last batch's answer is no work of the subject."""
        return self._batches.set_aside_ms

    def batch(self, calls: int, settle_ms: float, *, look: bool = False) -> list[float]:
        """Milliseconds per call of one batch."""
        return self._batches.batch(calls, settle_ms, look=look)

    def bare(self, calls: int, *, empty: bool = False, look: bool = True) -> Bare:
        """One batch on a device that nobody holds back."""
        return self._batches.bare(calls, empty=empty, look=look)

    def move(self, processor: int) -> None:
        """Begin the next batches on this processor; on any if negative."""
        self._batches.processor = processor

    def waited_ms(self) -> float:
        """How long the process's threads have waited for a processor so far."""
        return waited_ms(self._pid)

    def ran_ms(self) -> float:
        """How long the process's threads have run so far."""
        return ran_ms(self._pid)
