"""The one interface by which a prompt becomes an answer."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from operators.dialogue import Prompt
from populations.call import Answer


class Answerer(Protocol):
    """One model. Used by one thread; its futures are completed by whichever thread."""

    def ask(self, prompt: Prompt, *, proposal: int, turn: int, operator: str) -> Future[Answer]:
        """Put a question; returns at once.

        Asking again what an earlier session of the same run asked (the same proposal, turn and
        messages) takes up the question that is under way, where the provider keeps it.

        Args:
            prompt: What to ask.
            proposal: Number of the proposal that asks.
            turn: Its place among the questions of that proposal.
            operator: Name of the operator that asks.

        Returns:
            The answer to come. Whatever goes wrong is an answer with `Finish.FAILED` and the
            reason; the future never holds an exception and is never cancelled but by `close`.
        """

    def dormant(self) -> bool:
        """Whether every question under way waits for somebody outside of this process.

        Then a run may end and be resumed when answers have come. False where nothing is under way.
        """

    def close(self) -> None:
        """Drop what is under way: futures left are cancelled. Callable twice."""
