"""The interface between the search and whatever judges kernels."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from types import MappingProxyType
from typing import Protocol

from populations.kernel import Candidate
from populations.outcome import Evaluation

NOWHERE: Mapping[str, float] = MappingProxyType({})


class Evaluator(Protocol):
    """Judges candidates: a local pool now, a cluster or a recording behind the same methods.

    `submit` may be called from one thread while earlier futures are unfinished. A future never
    holds a candidate's fault as an exception, that is an `Outcome`; it raises `WorkerError` when
    our own machinery failed. Futures finish in any order.
    """

    def submit(
        self, candidate: Candidate, *, hopeless: Mapping[str, float] = NOWHERE
    ) -> Future[Evaluation]:
        """Queue one candidate. Returns at once.

        Args:
            candidate: What is to be judged.
            hopeless: Workload -> speedup. On a workload where the candidate turns out slower than
                that for sure, timing may end early: it passes all the same, with a wider interval.
                Leave to spare time, nothing more; an evaluator that times nothing ignores it.
        """

    def close(self) -> None:
        """End every process and drop queued work. Callable twice; futures left are cancelled."""
