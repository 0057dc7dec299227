"""A kernel's source and its difference from the seed, plainly coloured."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from evo.report.markup import Markup, element, escape, join
from populations.source import cpp_sources

if TYPE_CHECKING:
    from collections.abc import Iterator

_PYTHON_WORDS = (
    "and as assert async await break class continue def del elif else except False finally for "
    "from global if import in is lambda None nonlocal not or pass raise return True try while "
    "with yield"
)
_CPP_WORDS = (
    "alignas auto bool break case char class const constexpr continue default do double else enum "
    "extern false float for if inline int int32_t int64_t long namespace return short signed "
    "size_t sizeof static static_cast struct switch template true typedef typename unsigned using "
    "void volatile while __restrict__ __restrict"
)
_STRING = r"\"\"\"[\s\S]*?\"\"\"|'''[\s\S]*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"


def _pattern(comment: str, words: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?P<tune>{comment}[ \t]*tune:[^\n]*)|(?P<comment>{comment}[^\n]*)|(?P<string>{_STRING})"
        rf"|(?P<directive>^[ \t]*#[ \t]*(?:pragma|define|include|if|ifdef|ifndef|else|endif)\b)"
        rf"|(?P<decorator>^[ \t]*@[\w.]+)|(?P<word>\b(?:{words.replace(' ', '|')})\b)",
        re.MULTILINE,
    )


_PYTHON = _pattern("#", _PYTHON_WORDS)
_CPP = _pattern("//", _CPP_WORDS)


def source_listing(source: str) -> Markup:
    """The source with line numbers that are not copied along; C++ strings are coloured as C++."""
    coloured = join(_coloured(source))
    return element("pre", _numbered(coloured), class_="code numbered", tabindex="0")


def difference(before: str, after: str, *, names: tuple[str, str]) -> Markup | None:
    """The unified difference of two sources; None when they are the same."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm=""))
    if not lines:
        return None
    kinds = {"+": "added", "-": "removed", "@": "hunk"}
    shown = (
        element("span", line, "\n", class_=f"l {kinds.get(line[:1], 'same') if i > 1 else 'hunk'}")
        for i, line in enumerate(lines)
    )
    return element("pre", shown, class_="code diff", tabindex="0")


def _coloured(source: str) -> Iterator[Markup]:
    try:
        embedded = cpp_sources(source)
    except (SyntaxError, ValueError):
        embedded = ()
    position = 0
    for cpp in embedded:
        yield from _tokens(source[position : cpp.start], _PYTHON)
        yield from _tokens(source[cpp.start : cpp.end], _CPP, opening='r"""')
        position = cpp.end
    yield from _tokens(source[position:], _PYTHON)


def _tokens(text: str, pattern: re.Pattern[str], opening: str = "") -> Iterator[Markup]:
    position = 0
    if opening and text.startswith(opening):
        position = len(opening)
        yield escape(opening)
    for match in pattern.finditer(text, position):
        yield escape(text[position : match.start()])
        # A token over several lines is split, because every line is an element of its own.
        parts = match[0].split("\n")
        for index, part in enumerate(parts):
            yield join(Markup("\n") if index else None, element("i", part, class_=match.lastgroup))
        position = match.end()
    yield escape(text[position:])


def _numbered(coloured: Markup) -> Iterator[Markup]:
    lines = coloured.removesuffix("\n").split("\n")
    return (element("span", Markup(line), "\n", class_="l") for line in lines)
