"""Puts a prompt's parts together, as many as its length allows, the dearest first.

Lengths are estimated, not counted: a token is three bytes of UTF-8. Tokenisers differ, source code
has about three to four characters a token, and an estimate on the large side only leaves out what
was least wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from operators.llm.fence import fenced
from populations.call import Message

_BYTES_PER_TOKEN = 3
# Roles and separators of one message.
_MESSAGE_TOKENS = 8
# A part of which less than this would be left is left out.
_LEAST_TOKENS = 48


class Cut(Enum):
    """What may be taken from a part that is too long."""

    NOTHING = "nothing"  # all of it or none
    END = "end"  # its last lines
    MIDDLE = "middle"  # lines in the middle: a message begins with what, ends with where


@dataclass(frozen=True, slots=True)
class Part:
    """One section of a prompt.

    Attributes:
        title: Its heading; our own words.
        text: What stands in its fence, whoever wrote it.
        rank: 0 must be there; of the others a smaller one is dearer.
        lead: A sentence of ours between heading and fence.
        info: The fence's info string.
        cut: What may be taken from it.
    """

    title: str
    text: str
    rank: int
    lead: str = ""
    info: str = "text"
    cut: Cut = Cut.NOTHING

    def shown(self) -> str:
        """The section as it stands in a prompt."""
        lead = f"{self.lead}\n\n" if self.lead else ""
        return f"# {self.title}\n\n{lead}{fenced(self.text, self.info)}\n"


def tokens(text: str) -> int:
    """The estimated length of a text, tokens."""
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)


def prompt_tokens(messages: Sequence[Message]) -> int:
    """The estimated length of a prompt, tokens."""
    return sum(tokens(message.text) + _MESSAGE_TOKENS for message in messages)


def assemble(parts: Sequence[Part], budget_tokens: int) -> str | None:
    """The parts in the order given, within the budget.

    Parts are taken by rank, and in the order given among equals; one that does not fit is cut if it
    may be and left out otherwise, and a smaller one behind it can still find room. Parts without
    text are passed over.

    Returns:
        The text, or None when the parts of rank 0 do not fit.
    """
    kept: dict[int, str] = {}
    left = budget_tokens
    for place, part in sorted(enumerate(parts), key=lambda item: (item[1].rank, item[0])):
        if not part.text.strip():
            continue
        fitting = _fitted(part, left)
        if fitting is not None:
            kept[place] = fitting.shown()
            left -= tokens(kept[place]) + 1
        elif part.rank == 0:
            return None
    return "\n".join(kept[place] for place in sorted(kept)).rstrip("\n")


def _fitted(part: Part, budget_tokens: int) -> Part | None:
    """The part, cut to the budget where that is possible; None where it is not."""
    if tokens(part.shown()) + 1 <= budget_tokens:
        return part
    lines = part.text.split("\n")
    if part.cut is Cut.NOTHING or budget_tokens < _LEAST_TOKENS:
        return None
    # The most lines that fit: by halving, since dropping one after another would be quadratic.
    low, high = 0, len(lines) - 1
    while low < high:
        middle = (low + high + 1) // 2
        fits = tokens(_shortened(part, lines, middle).shown()) + 1 <= budget_tokens
        low, high = (middle, high) if fits else (low, middle - 1)
    return _shortened(part, lines, low) if low else None


def _shortened(part: Part, lines: list[str], keep: int) -> Part:
    gone = f"[{len(lines) - keep} more lines]"
    first = keep if part.cut is Cut.END else -(-2 * keep // 3)
    last = lines[len(lines) - (keep - first) :] if keep > first else []
    return replace(part, text="\n".join([*lines[:first], gone, *last]))
