"""Launch parameters: literals that a comment marks as free to change, in any language.

    BLOCK = 64                    # tune: 32, 64, 128
    WARPS: tl.constexpr = 4       # tune: 2, 4, 8
    STAGES = tl.constexpr(3)      # tune: 2, 3, 4
    #define TILE 64               // tune: 16, 32, 64
    constexpr int UNROLL = 4;     // tune: 1, 2, 4, 8

A line is a parameter when it binds one name to one literal (int, float, bool or quoted string) and
ends in a mark whose whole text is a comma-separated list of literals of that same kind. Everything
else that merely mentions `tune:` is text. A `# tune:` mark counts only where Python sees a comment,
so an example in a docstring is text too; a `// tune:` mark counts wherever its line stands, since
C++ lives inside the strings of a Python module. The file runs as it stands and nothing here parses
it: any text is accepted, broken modules included.

A name that is marked several times is one parameter (a tile size in the C++ text and in the module
that launches it must agree): its value is the first line's, its choices are all lines' together,
and a rewrite brings every line to the same value. Later lines of another kind than the first are
text.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Value = int | float | bool | str

_NUMBER = (
    r"[-+]?(?:0[xX][0-9a-fA-F]+"
    r"|(?:[0-9][0-9_']*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)[uUlLfF]{0,3}"
)
_LITERAL = rf"""(?:{_NUMBER}|True|False|true|false|"[^"'\\]*"|'[^"'\\]*')"""
_NAME = r"[A-Za-z_]\w*"
_PYTHON_LINE = re.compile(
    rf"[ \t]*(?P<name>{_NAME})[ \t]*(?::[^=#]*)?=[ \t]*(?P<wrap>{_NAME}(?:\.{_NAME})*\([ \t]*)?"
    rf"(?P<literal>{_LITERAL})(?(wrap)[ \t]*\))[ \t]*(?:[,);]+[ \t]*)?"
    r"(?P<mark>#)[ \t]*tune:(?P<choices>.*)",
    re.ASCII,
)
_CPP_LINE = re.compile(
    rf"[ \t]*(?:#[ \t]*define[ \t]+(?P<macro>{_NAME})[ \t]+\(?"
    rf"|(?:[\w:<>]+[ \t]+)*(?P<name>{_NAME})[ \t]*[={{][ \t]*)"
    rf"(?P<literal>{_LITERAL})[ \t]*(?:[}});]+[ \t]*)?//[ \t]*tune:(?P<choices>.*)",
    re.ASCII,
)
_CHOICE = re.compile(rf"[ \t]*(?P<literal>{_LITERAL})[ \t\r]*(?:,|$)", re.ASCII)
_SPLIT_NUMBER = re.compile(r"(?P<digits>[-+]?(?:0[xX][0-9a-fA-F]+|[^uUlLfF]+))(?P<suffix>.*)")
# Comments and strings of a Python text, so that a mark inside a string is told from a comment.
_PYTHON_TEXT = re.compile(
    r'#[^\n]*|"""[^"\\]*(?:(?:\\.?|"(?!""))[^"\\]*)*(?:"""|\Z)'
    r"|'''[^'\\]*(?:(?:\\.?|'(?!''))[^'\\]*)*(?:'''|\Z)"
    r'|"(?:\\.|[^"\\\n])*"?' + r"|'(?:\\.|[^'\\\n])*'?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One launch parameter.

    Attributes:
        name: The name its line binds.
        value: The value the source has now.
        choices: The values it may take, in the order written and without repeats; the present
            value stands first where the mark leaves it out.
        line: Line of its first mark, from 1.
    """

    name: str
    value: Value
    choices: tuple[Value, ...]
    line: int


@dataclass(frozen=True, slots=True)
class _Mark:
    """One marked literal: where it stands and how a value of its kind is written there."""

    name: str
    value: Value
    choices: tuple[Value, ...]
    start: int
    end: int
    suffix: str
    cpp: bool

    def accepts(self, value: Value) -> bool:
        """Whether `value` is of this literal's kind and can be written in its place."""
        if isinstance(self.value, str):
            return isinstance(value, str) and not set(value) & set("\"'\\\n\r")
        if isinstance(self.value, float):
            return type(value) in (int, float) and math.isfinite(float(value))
        return type(value) is type(self.value)

    def written(self, source: str, value: Value) -> str:
        """The literal's text for `value`; the text as it stands when the value is the same."""
        text = source[self.start : self.end]
        if value == self.value:
            return text
        if isinstance(self.value, bool):
            return str(value).lower() if self.cpp else str(value)
        if isinstance(self.value, str):
            return f"{text[0]}{value}{text[0]}"
        number = repr(float(value)) if isinstance(self.value, float) else str(value)
        return number + self.suffix


@lru_cache(maxsize=4096)
def parameters(source: str) -> tuple[Parameter, ...]:
    """Find the launch parameters of a source, in file order; empty when nothing is marked."""
    grouped: dict[str, list[_Mark]] = {}
    for mark in _marks(source):
        grouped.setdefault(mark.name, []).append(mark)
    return tuple(
        Parameter(
            name=name,
            value=marks[0].value,
            choices=_joined(marks),
            line=source.count("\n", 0, marks[0].start) + 1,
        )
        for name, marks in grouped.items()
    )


def values(source: str) -> dict[str, Value]:
    """The launch parameters' present values by name, in file order."""
    return {parameter.name: parameter.value for parameter in parameters(source)}


def with_values(source: str, new: Mapping[str, Value]) -> str:
    """Rewrite marked literals to the values in `new`; every other character stays.

    Values need not be among the choices. Raises ValueError for a name that is not marked, and for a
    value of another kind than the literal's (an int is accepted where a float stands).
    """
    marks = _marks(source)
    unknown = sorted(set(new) - {mark.name for mark in marks})
    if unknown:
        raise ValueError(f"no launch parameter is named {unknown[0]!r}")
    for mark in reversed(marks):
        if mark.name in new:
            value = new[mark.name]
            if not mark.accepts(value):
                raise ValueError(
                    f"{mark.name} holds a {type(mark.value).__name__}, but got {value!r}"
                )
            source = source[: mark.start] + mark.written(source, value) + source[mark.end :]
    return source


def adopt(source: str, offered: Mapping[str, Value]) -> str:
    """Rewrite marked literals to those offered values that are among the source's own choices.

    The forgiving form of `with_values`, for values that come from another kernel: names that are
    not marked here and values that are no choice here are left out.
    """
    own = {parameter.name: parameter for parameter in parameters(source)}
    fitting = {
        name: value
        for name, value in offered.items()
        if name in own
        and any(
            value == c and isinstance(value, bool) == isinstance(c, bool) for c in own[name].choices
        )
    }
    return with_values(source, fitting)


@lru_cache(maxsize=4096)
def skeleton(source: str) -> str:
    """Digest of the source with its marked literals blanked, 16 hex digits.

    Kernels that differ only in the values of launch parameters have the same skeleton.
    """
    pieces = []
    position = 0
    for mark in _marks(source):
        pieces.append(source[position : mark.start])
        position = mark.end
    pieces.append(source[position:])
    # A lone surrogate can stand in a text that came through JSON; it is hashed as it is.
    blanked = "\0".join(pieces).encode(errors="surrogatepass")
    return hashlib.sha256(blanked).hexdigest()[:16]


@lru_cache(maxsize=256)
def _marks(source: str) -> tuple[_Mark, ...]:
    """Every marked literal in file order, less those of another kind than their name's first."""
    found: list[_Mark] = []
    first: dict[str, type] = {}
    comments: set[int] | None = None
    for start, end in _marked_lines(source):
        line = source[start:end]
        match = _CPP_LINE.fullmatch(line)
        cpp = match is not None
        if match is None:
            match = _PYTHON_LINE.fullmatch(line)
            if match is None:
                continue
            if comments is None:
                comments = comment_starts(source)
            if start + match.start("mark") not in comments:
                continue
        mark = _mark(match, offset=start, cpp=cpp)
        if mark is not None and first.setdefault(mark.name, type(mark.value)) is type(mark.value):
            found.append(mark)
    return tuple(found)


def _marked_lines(source: str) -> Iterator[tuple[int, int]]:
    """Start and end of each line that holds `tune:`, without its line break."""
    end = -1
    while (hit := source.find("tune:", end + 1)) >= 0:
        start = source.rfind("\n", 0, hit) + 1
        end = source.find("\n", hit)
        end = len(source) if end < 0 else end
        yield start, end


def comment_starts(source: str) -> set[int]:
    """Where comments begin that Python sees, as offsets; never raises."""
    return {
        match.start() for match in _PYTHON_TEXT.finditer(source) if match.group().startswith("#")
    }


def _mark(match: re.Match[str], *, offset: int, cpp: bool) -> _Mark | None:
    """The mark on a line of the right form; None when its literals are not of one kind."""
    literal = _parsed(match["literal"])
    choices = _parsed_choices(match["choices"])
    if literal is None or not choices:
        return None
    value, suffix = literal
    kinds = {type(value), *map(type, choices)}
    if kinds == {int, float}:
        value, choices = float(value), tuple(float(choice) for choice in choices)
    elif len(kinds) > 1:
        return None
    if isinstance(value, float) and set(suffix) & set("uU"):
        return None
    return _Mark(
        name=match["name"] or match["macro"],
        value=value,
        choices=choices,
        start=offset + match.start("literal"),
        end=offset + match.end("literal"),
        suffix=suffix,
        cpp=cpp,
    )


def _parsed_choices(text: str) -> tuple[Value, ...]:
    """The literals of a choice list; empty when the text is anything else."""
    text = text.rstrip(" \t\r")
    found = []
    position = 0
    while position < len(text):
        match = _CHOICE.match(text, position)
        literal = _parsed(match["literal"]) if match else None
        if match is None or literal is None:
            return ()
        found.append(literal[0])
        position = match.end()
    return tuple(found)


def _parsed(text: str) -> tuple[Value, str] | None:
    """A literal's value and its C++ suffix; None when it is a number in neither language."""
    if text[0] in "\"'":
        return text[1:-1], ""
    if text.lower() in ("true", "false"):
        return text.lower() == "true", ""
    match = _SPLIT_NUMBER.fullmatch(text)
    if match is None:
        return None
    digits, suffix = match["digits"].replace("_", "").replace("'", ""), match["suffix"]
    try:
        if "x" in digits.lower() or not set(digits) & set(".eE"):
            return None if set(suffix) & set("fF") else (int(digits, 0), suffix)
        number = float(digits)
    except ValueError:  # a leading zero, or more digits than Python converts
        return None
    return (number, suffix) if math.isfinite(number) else None


def _joined(marks: list[_Mark]) -> tuple[Value, ...]:
    choices = dict.fromkeys(choice for mark in marks for choice in mark.choices)
    return tuple(choices if marks[0].value in choices else [marks[0].value, *choices])
