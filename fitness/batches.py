"""Asking one subject for its timed batches: other contents each time, a look at some outputs.

Used for candidates and baselines alike. Imports no torch: the search process has baselines too.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from fitness.pace import Answer, Request

# The host's lead over a device: what launching a call is taken for at first, by how much more than
# it took last time the device is held back, how often this is tried (a call that waits for the
# device has no lead however long it is held back), and how long at most, per batch.
_FIRST_LAUNCH_MS = 0.2
_LEAD_MARGIN = 1.3
_TRIES = 3
_MOST_HELD_MS = 50.0
# The batch whose outputs are looked at is one of the first so many, of which every timing has more.
_LOOKED_AT_AMONG = 5


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
        """
        self.held_ms = 0.0
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
        self._look_at = rng.randrange(_LOOKED_AT_AMONG)

    def batch(self, calls: int, settle_ms: float, *, look: bool = False) -> tuple[list[float], str]:
        """Milliseconds per call of one batch; and what is wrong with an output looked at, or "".

        Args:
            calls: How many.
            settle_ms: How long to call before.
            look: Whether to look at this batch's last call for sure, if a checkpoint is left.
        """
        checkpoint = self._checkpoint(look=look) if calls else None
        request = Request(
            subject=self._subject,
            calls=calls,
            first=self._first,
            settle_ms=settle_ms,
            secret=checkpoint.secret if checkpoint else self._secret(),
            processor=self.processor,
        )
        answer = self._timed(request, again=checkpoint is None)
        self._first = (self._first + calls) % (1 << 31)
        if checkpoint is None:
            return answer.times_ms, ""
        sample = self._secret()
        seen = self._ask(
            Request(subject=self._subject, calls=0, sample=sample, processor=self.processor)
        )
        return answer.times_ms, checkpoint.fault(sample, seen.samples)

    def _secret(self) -> int:
        return self._rng.getrandbits(63) + 1

    def _checkpoint(self, *, look: bool) -> Checkpoint | None:
        number = self._done
        self._done += 1
        if not self._left:
            return None
        if not look and number < self._look_at:
            return None
        if not look and number > self._look_at and self._rng.random() >= self._share:
            return None
        return self._left.pop()

    def _timed(self, request: Request, *, again: bool) -> Answer:
        if not (self._held and request.calls):
            self.held_ms = 0.0
            return self._ask(request)
        aside_ms = 0.0
        for _ in range(_TRIES):
            held_ms = min(_LEAD_MARGIN * self._launch_ms * request.calls, _MOST_HELD_MS)
            start = time.perf_counter()
            answer = self._ask(request._replace(held_ms=held_ms))
            # Of the last try only the hold.
            self.held_ms = aside_ms + held_ms
            aside_ms += (time.perf_counter() - start) * 1e3
            launch_ms = answer.launch_ms / request.calls
            if not answer.late:
                # What is measured while nothing waits is what it takes.
                self._launch_ms = max(launch_ms, 1e-3)
                break
            self._launch_ms = max(launch_ms, 2 * self._launch_ms)
            if again:
                # Contents that were seen are of no use any more.
                request = request._replace(secret=self._secret())
        return answer
