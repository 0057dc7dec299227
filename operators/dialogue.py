"""How an operator talks to a language model: it yields prompts and is sent the answers.

A dialogue is a generator. It is a function of its parents, its situation and the answers alone:
what it needs of the lineage it takes before its first prompt, because the lineage grows while the
model thinks; it reads no clock, file or environment. So the same recorded answers give the same
kernel, on another machine, tomorrow, without a model.

    def _dialogue(self, parents, situation) -> Dialogue:
        answer = yield Prompt((Message("system", ...), Message("user", ...)))
        ...
        return Variation(source, note)          # or Rejected(Reason.UNREADABLE, "no code block")
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum

from operators.operator import Variation
from populations.call import Answer, Message


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question.

    Attributes:
        messages: System first, then user and assistant in turn; the last one is the user's.
        max_tokens: Length of the answer at most; 0 leaves it to the model's settings.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 0


class Reason(StrEnum):
    """Why a dialogue ended without a candidate."""

    NO_ANSWER = "no_answer"  # failed, refused or empty
    TRUNCATED = "truncated"
    UNREADABLE = "unreadable"  # no code, or none that can be read
    INAPPLICABLE_EDIT = "inapplicable_edit"  # its search blocks are not in the source
    UNCHANGED = "unchanged"  # the parent again
    DUPLICATE = "duplicate"  # a kernel that the lineage holds, or nearly
    GAVE_UP = "gave_up"  # the model said that it knows nothing better


@dataclass(frozen=True, slots=True)
class Rejected:
    """No candidate came of it: costs its calls, and no evaluation.

    Attributes:
        reason: In one word.
        text: For people, one line.
    """

    reason: Reason
    text: str


Dialogue = Generator[Prompt, Answer, Variation | Rejected]


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a model operator's `vary` returns: a dialogue that has not begun.

    Attributes:
        turns: The dialogue.
        model: Name of the model to ask, one of the experiment's `[[models]]`.
    """

    turns: Dialogue
    model: str
