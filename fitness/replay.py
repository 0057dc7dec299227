"""An evaluator that answers from what was measured before: the same run again, without a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future

from fitness.evaluator import NOWHERE
from populations.errors import WorkerError
from populations.kernel import Candidate
from populations.outcome import Evaluation


class Recorded:
    """Implements `fitness.evaluator.Evaluator` from recorded evaluations.

    Same candidates, same evaluations: a search with the same seed then grows the same lineage.
    """

    def __init__(
        self,
        lookup: Callable[[str], Evaluation | None],
        again: Callable[[int], Evaluation | None] = lambda _: None,
    ) -> None:
        """Answer from what is recorded.

        Args:
            lookup: A candidate's digest -> its evaluation, None when there is none.
            again: The number of a proposal to measure a kernel again -> what was found then.
        """
        self._lookup = lookup
        self._again = again
        self._closed = False

    def submit(
        self,
        candidate: Candidate,
        *,
        hopeless: Mapping[str, float] = NOWHERE,  # noqa: ARG002 - nothing is timed
    ) -> Future[Evaluation]:
        """Answer at once; the future raises WorkerError for a candidate that is not recorded."""
        future: Future[Evaluation] = Future()
        if self._closed:
            future.cancel()
            return future
        evaluation = self._again(candidate.number) or self._lookup(candidate.digest)
        if evaluation is None:
            message = f"candidate {candidate.number} ({candidate.digest}) was never evaluated"
            future.set_exception(WorkerError(message))
        else:
            future.set_result(evaluation)
        return future

    def close(self) -> None:
        """Refuse further candidates; their futures are cancelled."""
        self._closed = True
