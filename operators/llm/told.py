"""Which knowledge a prompt held, read from the prompt itself.

A run keeps every prompt as it was put, so nothing further has to be recorded, and runs of before
can be asked too. What counts is what a model was shown: a passage that had no room is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from operators.llm.parts import NOTES
from populations.call import Call, Message

_HEADING = re.compile(r"# (?P<title>.+)")
# What stands in the place of lines that had no room.
_CUT = re.compile(r"\[\d+ more lines\]")
_FENCE = re.compile(r"(?P<marks>`{3,})\w*")


def passages_told(calls: Iterable[Call]) -> dict[int, tuple[str, ...]]:
    """The titles of the passages that each proposal's prompts held, by number of the proposal.

    In the order of the prompt and without repeats; proposals that were told none are absent.
    """
    told: dict[int, dict[str, None]] = {}
    for call in calls:
        titles = told.setdefault(call.proposal, {})
        titles |= dict.fromkeys(titles_in(call.messages))
    return {number: tuple(titles) for number, titles in told.items() if titles}


def titles_in(messages: Sequence[Message]) -> list[str]:
    """The titles of the passages in a prompt; what a model said itself does not count."""
    asked = [message.text for message in messages if message.role == "user"]
    return [title for text in asked if NOTES in text for title in _titles(text.split("\n"))]


def _titles(lines: Sequence[str]) -> Iterator[str]:
    """The first line of every fence under the heading of notes that has more in it than that.

    What stands in a fence was written by others and is passed over: the fence is longer than any
    run of backticks in it.
    """
    heading = marks = title = ""
    first = False
    for line in lines:
        if marks:
            if line == marks:
                marks = title = ""
            elif first:
                title = line
            elif title and line and not _CUT.fullmatch(line):
                yield title
                title = ""
            first = False
        elif opened := _FENCE.fullmatch(line):
            marks, first = opened["marks"], heading == NOTES
        elif named := _HEADING.fullmatch(line):
            heading = named["title"]
