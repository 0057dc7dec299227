"""The loader's text that a champion's file carries in place of the import.

A champion's file stands alone: it holds the text of `fitness.native`, which starts the compiler and
loads what it made. Nothing else may do that. Where the text is ours to the letter, it is read as
the import it stands for.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

_BLOCK = re.compile(
    r"^# -+ C\+\+ loader -+\n(?P<text>.*?)^# -+ end of loader -+$", re.DOTALL | re.MULTILINE
)
_IMPORT = "from fitness.native import CppError, load_cpp"


def restored(source: str) -> str:
    """The source with the import in place of our loader's text; other lines keep their numbers."""
    if "end of loader" not in source:
        return source
    return _BLOCK.sub(_replacement, source, count=1)


def _replacement(match: re.Match[str]) -> str:
    if _plain(match["text"]) != _loader():
        return match[0]
    return _IMPORT + "\n" * match[0].count("\n")


@lru_cache(maxsize=1)
def _loader() -> str:
    path = Path(__file__).resolve().parent.parent / "native.py"
    return _plain(path.read_text(encoding="utf-8"))


def _plain(text: str) -> str:
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join(n for n in lines if n and n != "from __future__ import annotations")
