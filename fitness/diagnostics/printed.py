"""What is worth reading of much that a process printed."""

from __future__ import annotations

import re

_TELLING = re.compile(r"\b(error|fatal|warning|assert\w*|failed|note)\b", re.IGNORECASE)
# Of a longer line the middle is left out: compilers print whole pipelines in one.
_LINE_CHARACTERS = 300
_GAP = " [...] "


def excerpt(text: str, limit: int) -> str:
    """At most about `limit` characters: first the lines that tell of errors, then the end.

    A compiler that fails may print its whole input after the one line that says why.
    """
    if len(text) <= limit:
        return text
    lines = [_short(line) for line in text.splitlines()]
    text = "\n".join(lines)
    if len(text) <= limit:
        return text
    end = text[-limit // 2 :]
    told = [line for line in dict.fromkeys(lines) if _TELLING.search(line) and line not in end]
    telling = "\n".join(told)[: limit // 2]
    return f"{telling}\n[...]{end}" if telling else f"[...]{text[-limit:]}"


def _short(line: str) -> str:
    half = (_LINE_CHARACTERS - len(_GAP)) // 2
    return line if len(line) <= _LINE_CHARACTERS else line[:half] + _GAP + line[-half:]
