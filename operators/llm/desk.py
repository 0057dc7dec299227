"""Holds the dialogues that are under way: puts their questions, keeps the answers, sends them on.

Everything happens in the search's own thread, when it calls `advance`; only the answers are made
elsewhere. A question whose answer is recorded is not asked again, so that a run goes on where it
was, and a recorded run needs no model at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from operators.dialogue import Conversation, Dialogue, Prompt, Reason, Rejected
from operators.llm.answerer import Answerer
from operators.llm.spending import Spending
from operators.operator import Variation
from populations.call import Answer, Call, Finish

# Questions of one dialogue at most: an operator that never comes to an end is ended.
MOST_TURNS = 8


@dataclass(slots=True)
class _Open:
    """A dialogue under way, at its last question."""

    number: int
    operator: str
    model: str
    turns: Dialogue
    prompt: Prompt
    answer: Future[Answer]
    asked: bool
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """A dialogue that has come to its end."""

    number: int
    result: Variation | Rejected


@dataclass(slots=True)
class Desk:
    """The dialogues of one search.

    Attributes:
        answerers: Model -> who answers for it; a model that is missing can only be replayed.
        keep: Called with every question and its answer before the answer is used.
        spending: What may be spent, and what has been.
        recorded: (proposal, turn) -> a call of an earlier session, or of the run that is replayed.
        strict: Whether a recorded answer counts only for the very question that it was given to.
        counted: Whether recorded calls are kept and counted already: those of earlier sessions are,
            those of a run that is grown again are not.
        patient: Models whose answers are waited for, however long that takes.
    """

    answerers: Mapping[str, Answerer]
    keep: Callable[[Call], None]
    spending: Spending
    recorded: Mapping[tuple[int, int], Call] = field(default_factory=dict)
    strict: bool = True
    counted: bool = True
    patient: frozenset[str] = frozenset()
    _costs_usd: dict[int, float] = field(default_factory=dict)
    _open: dict[int, _Open] = field(default_factory=dict)
    _ended: list[Ended] = field(default_factory=list)

    def cost_usd(self, number: int) -> float:
        """What the questions of a proposal have cost so far, those of earlier sessions included."""
        known = self._costs_usd.get(number)
        if known is None and self.counted:
            known = sum(c.answer.cost_usd for (n, _), c in self.recorded.items() if n == number)
        return known or 0.0

    def open(self, number: int, operator: str, conversation: Conversation) -> None:
        """Begin a dialogue: its first prompt is made and put now.

        Args:
            number: The proposal's.
            operator: Who asks.
            conversation: What `vary` returned.
        """
        try:
            prompt = next(conversation.turns)
        except StopIteration as end:
            self._ended.append(Ended(number, _result(end)))
            return
        talk = _Open(
            number, operator, conversation.model, conversation.turns, prompt, Future(), asked=False
        )
        self._open[number] = talk
        self._ask(talk)

    def waiting(self) -> list[Future[Answer]]:
        """The answers that are to come."""
        return [talk.answer for talk in self._open.values()]

    def dormant(self) -> bool:
        """Whether every answer to come waits for somebody outside of this process."""
        open_models = {talk.model for talk in self._open.values() if not talk.answer.done()}
        if not open_models or open_models & self.patient:
            return False
        if not all(self.answerers[model].dormant() for model in open_models):
            return False
        # Looked at last: an answer that has come meanwhile is taken up first.
        return not any(talk.answer.done() for talk in self._open.values())

    def advance(self) -> list[Ended]:
        """Take up every answer that has come; returns the dialogues that ended by it."""
        while answered := [talk for talk in self._open.values() if talk.answer.done()]:
            for talk in answered:
                self._take_up(talk)
        ended, self._ended = self._ended, []
        return ended

    def abandon(self, text: str) -> list[Ended]:
        """End every dialogue that still waits, without its answer; `text` says why."""
        ended = self.advance()
        for talk in list(self._open.values()):
            talk.turns.close()
            self.spending.returned(talk.model)
            ended.append(Ended(talk.number, Rejected(Reason.NO_ANSWER, text)))
        self._open.clear()
        return ended

    def close(self) -> None:
        """Drop what is under way. Callable twice."""
        self._open.clear()
        for answerer in self.answerers.values():
            answerer.close()

    def _ask(self, talk: _Open) -> None:
        talk.answer, talk.asked = Future(), False
        call = self.recorded.get((talk.number, talk.turn))
        if call is not None and (not self.strict or call.messages == talk.prompt.messages):
            talk.answer.set_result(call.answer)
        elif (answerer := self.answerers.get(talk.model)) is None:
            text = f"no answer is recorded, and there is no model {talk.model!r} to ask"
            talk.answer.set_result(Answer(text, Finish.FAILED, talk.model))
        elif refused := self.spending.reserve(talk.model, talk.prompt):
            talk.answer.set_result(Answer(refused, Finish.FAILED, talk.model))
        else:
            talk.asked = True
            talk.answer = answerer.ask(
                talk.prompt, proposal=talk.number, turn=talk.turn, operator=talk.operator
            )

    def _take_up(self, talk: _Open) -> None:
        answer = talk.answer.result()
        if talk.asked:
            self.spending.returned(talk.model)
        self._costs_usd[talk.number] = self._costs_usd.get(talk.number, 0.0) + answer.cost_usd
        known = self.recorded.get((talk.number, talk.turn))
        if not self.counted or known is None or known.answer is not answer:
            messages = talk.prompt.messages
            self.keep(Call(talk.number, talk.turn, talk.operator, messages, answer))
            self.spending.add(answer)
        try:
            talk.prompt = talk.turns.send(answer)
        except StopIteration as end:
            self._end(talk, _result(end))
            return
        talk.turn += 1
        if talk.turn == MOST_TURNS:
            talk.turns.close()
            self._end(talk, Rejected(Reason.GAVE_UP, f"no end after {MOST_TURNS} questions"))
        else:
            self._ask(talk)

    def _end(self, talk: _Open, result: Variation | Rejected) -> None:
        del self._open[talk.number]
        self._ended.append(Ended(talk.number, result))


def _result(end: StopIteration) -> Variation | Rejected:
    result = end.value
    if not isinstance(result, Variation | Rejected):
        raise TypeError(f"a dialogue must return a Variation or Rejected, but returned {result!r}")
    return result


def by_turn(calls: Sequence[Call]) -> dict[tuple[int, int], Call]:
    """Calls by (proposal, turn), as a desk takes them."""
    return {(call.proposal, call.turn): call for call in calls}
