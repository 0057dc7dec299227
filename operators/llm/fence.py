"""Text that others wrote, as it stands in a prompt: between fences that it cannot close."""

from __future__ import annotations

import re

_TICKS = re.compile("`+")
# Control characters but tab and line break; terminals and some chat templates act on them.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """The text with plain line breaks, without control characters and lone surrogates."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub(" ", text).encode("utf-8", "replace").decode("utf-8")


def fenced(text: str, info: str = "text") -> str:
    """A Markdown code block around a text.

    The fence is longer than any run of backticks in the text, so that nothing in it can end it.

    Args:
        text: Anything.
        info: What stands behind the opening fence; one of our own words.
    """
    text = printable(text).strip("\n")
    longest = max((len(run) for run in _TICKS.findall(text)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}{info}\n{text}\n{marks}"


def one_line(text: str, limit: int = 300) -> str:
    """The text on one line, blanks folded, at most `limit` characters."""
    text = " ".join(printable(text).split())
    return text if len(text) <= limit else text[: max(0, limit - 3)].rstrip() + "..."
