"""The interface between the search and whatever judges kernels."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from populations.kernel import Candidate
from populations.outcome import Evaluation


class Evaluator(Protocol):
    """Judges candidates: a local pool now, a cluster or a recording behind the same methods.

    `submit` may be called from one thread while earlier futures are unfinished. A future never
    holds a candidate's fault as an exception, that is an `Outcome`; it raises `WorkerError` when
    our own machinery failed. Futures finish in any order.
    """

    def submit(self, candidate: Candidate) -> Future[Evaluation]:
        """Queue one candidate. Returns at once."""

    def close(self) -> None:
        """End every process and drop queued work. Callable twice; futures left are cancelled."""
