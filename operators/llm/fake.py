"""Answers from a script, for tests and examples: no server, no files, no waiting unless told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from operators.dialogue import Prompt
from populations.call import Answer, Finish

Said = str | Answer | None
"""A text, a whole answer, or None: a question that nobody answers in this session."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it was put."""

    prompt: Prompt
    proposal: int
    turn: int
    operator: str


class ScriptedAnswerer:
    """Says what its script says. See `operators.llm.answerer.Answerer`.

    Attributes:
        asked: Every question so far, in order.
    """

    def __init__(
        self,
        script: Sequence[Said] | Callable[[Asked], Said],
        *,
        model: str = "fake",
        delay_s: float | Callable[[Asked], float] = 0.0,
    ) -> None:
        """Take a script.

        Args:
            script: Answers in the order of the questions, after the last of which every answer is
                FAILED; or a function of a question, which must be pure for a run to be repeatable.
            model: Name of the model, for answers that are texts.
            delay_s: How long an answer takes; with 0 it is there when `ask` returns.
        """
        self.asked: list[Asked] = []
        self._function = script if callable(script) else None
        self._rest: Iterator[Said] = iter(()) if callable(script) else iter(tuple(script))
        self._model = model
        self._delay_s = delay_s
        self._lock = threading.Lock()
        self._open: dict[Future[Answer], threading.Timer | None] = {}
        self._closed = False

    def ask(self, prompt: Prompt, *, proposal: int, turn: int, operator: str) -> Future[Answer]:
        """Look the answer up."""
        future: Future[Answer] = Future()
        if self._closed:
            future.cancel()
            return future
        question = Asked(prompt, proposal, turn, operator)
        self.asked.append(question)
        delay_s = self._delay_s(question) if callable(self._delay_s) else self._delay_s
        said = self._say(question, delay_s)
        if said is not None and delay_s <= 0:
            future.set_result(said)
            return future
        timer = None
        if said is not None:
            timer = threading.Timer(delay_s, self._complete, (future, said))
            timer.daemon = True
        with self._lock:
            self._open[future] = timer
        if timer is not None:
            timer.start()
        return future

    def dormant(self) -> bool:
        """Whether questions are open, and nobody answers any of them in this session."""
        with self._lock:
            return bool(self._open) and all(timer is None for timer in self._open.values())

    def close(self) -> None:
        """Drop what is under way."""
        self._closed = True
        with self._lock:
            left, self._open = self._open, {}
        for future, timer in left.items():
            if timer is not None:
                timer.cancel()
            future.cancel()

    def _say(self, question: Asked, delay_s: float) -> Answer | None:
        try:
            said = self._function(question) if self._function else next(self._rest)
        except StopIteration:
            return Answer("the script has ended", Finish.FAILED, self._model)
        if isinstance(said, str):
            finish = Finish.COMPLETE if said.strip() else Finish.EMPTY
            return Answer(said, finish, self._model, latency_s=delay_s)
        return said

    def _complete(self, future: Future[Answer], answer: Answer) -> None:
        with self._lock:
            if future not in self._open:
                return
            del self._open[future]
        if future.set_running_or_notify_cancel():
            future.set_result(answer)
