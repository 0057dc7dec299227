"""One question to a language model and what came back: the record that a run keeps of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Finish(StrEnum):
    """How an answer ended."""

    COMPLETE = "complete"
    TRUNCATED = "truncated"  # the model's or our limit on its length was reached
    REFUSED = "refused"  # the model or its provider declined to answer
    EMPTY = "empty"
    FAILED = "failed"  # no answer: the reason stands in its place


@dataclass(frozen=True, slots=True)
class Message:
    """One part of a prompt.

    Attributes:
        role: "system", "user" or "assistant" (an earlier answer).
        text: What it says.
    """

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered.

    Attributes:
        text: All of it, also where it was cut off; the reason for people where it FAILED.
        finish: How it ended.
        model: Who answered, by the name that the experiment gives it.
        tokens_in: Tokens of the prompt, by the provider's count; 0 where it is not told.
        tokens_cached: Those of them that cost less because the provider had seen them.
        tokens_out: Tokens of the answer, reasoning included.
        cost_usd: By the experiment's prices, US dollars.
        latency_s: Seconds from the question to the whole answer.
    """

    text: str
    finish: Finish
    model: str
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0
    latency_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """A question with its answer, as `run.db` keeps it.

    Attributes:
        proposal: Number of the proposal that asked.
        turn: Its place among the questions of that proposal, from 0.
        operator: Who asked.
        messages: The prompt.
        answer: What came back.
    """

    proposal: int
    turn: int
    operator: str
    messages: tuple[Message, ...]
    answer: Answer
