"""The compiler's report on loops, condensed to what matters for a candidate's own loops.

GCC says much more than it means: every vector size that it tries leaves lines behind, and the last
line before it gives up is about the smallest size, not about the reason. So the reasons of all
tries are collected and the most telling one is taken. Format: GCC's `-fopt-info-vec` (measured with
GCC 12) and Clang's `-Rpass` remarks (from its documentation).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

FILE = "kernel.cpp"
_MOST_LINES = 12
_SNIPPET = 56
_GCC = re.compile(rf"^{re.escape(FILE)}:(\d+):(\d+): (missed|optimized):(\s+)(.*)$")
_CLANG = re.compile(rf"^{re.escape(FILE)}:(\d+):(\d+): remark: (.*?)(?: \[-Rpass[\w=-]*\])?$")
_WIDTH = re.compile(r"loop vectorized using (\d+) byte vectors")
_CLANG_WIDTH = re.compile(r"vectorized loop \(vectorization width: (\d+), interleaved count: (\d+)")
# Regular expression of a remark -> what it means, the most telling first.
_REASONS = (
    (
        r"possible dependence between data-refs (\S+)",
        "an iteration may need an earlier one's result",
    ),
    (r"possible alias involving gather/scatter", "what is written through an index may be read"),
    (r"function is not vectori[sz]able|call .*cannot be vectorized", "calls a scalar function"),
    (
        r"number of iterations cannot be computed|could not determine number",
        "the end is not known before the loop begins",
    ),
    (
        r"unexpected pattern|unsupported use in stmt|could not be identified as reduction",
        "carries a value that is no plain sum, product or extremum",
    ),
    (
        r"unsafe fp math|cannot prove it is safe to reorder",
        "a sum in order: use several accumulators",
    ),
    (
        r"can't determine dependence|unsafe dependent memory|cannot identify array bounds",
        "arrays may overlap: add __restrict",
    ),
    (r"control flow in loop|control flow", "a branch or an early exit in the body"),
    (
        r"consecutive inner loops|inner-loop count not invariant|not the innermost loop",
        "an outer loop",
    ),
    (r"not profitable|not beneficial", "the compiler's cost model sees no gain"),
    (r"not enough iterations", "too few iterations"),
    (
        r"complicated access pattern|not consecutive access|bad data references",
        "elements are not next to each other in memory",
    ),
    (
        r"relevant stmt not supported|unsupported data-type|no vectype",
        "an operation without a vector form",
    ),
)
_PATTERNS = tuple((re.compile(pattern), words) for pattern, words in _REASONS)
_OUTER = "an outer loop"
_SILENT = "no reason given"
_IN_ORDER = "its sum is added in order, element by element: use several accumulators"
_ALIAS = "runs scalar if arrays overlap: add __restrict"


@dataclass(slots=True)
class Loop:
    """One loop of the source, all its copies together.

    Attributes:
        line: Of the C++ text, from 1.
        column: From 1.
        width: What it became: "64-byte vectors"; empty for scalar code.
        reasons: Why it stayed scalar.
        notes: What holds a vectorised one back.
    """

    line: int
    column: int
    width: str = ""
    reasons: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    bytes_: int = 0

    @property
    def in_order(self) -> bool:
        """Whether it is vectorised in name alone: its sum is added element by element."""
        return _IN_ORDER in self.notes


def flags(compiler: str, report: str) -> tuple[str, ...]:
    """What makes a compiler report: GCC writes to the file `report`, Clang to its output."""
    if "clang" in compiler:
        return tuple(f"-Rpass{kind}=loop-vectorize" for kind in ("", "-missed", "-analysis"))
    return (f"-fopt-info-vec-optimized-missed-internals={report}",)


def parse(report: str) -> list[Loop]:
    """Read a report of either compiler; loops in order of lines. What is not understood is left."""
    loops: dict[tuple[int, int], Loop] = {}
    said: list[str] = []
    for line in report.splitlines():
        if match := _GCC.match(line):
            where = int(match[1]), int(match[2])
            if len(match[4]) == 1 and match[5].startswith("not vectorized"):
                # What is said after giving up: about the last vector size alone.
                _last_word(loops, match[5])
            else:
                _gcc(loops, where, match[5], said)
        elif match := _CLANG.match(line):
            where = int(match[1]), int(match[2])
            _clang(loops.setdefault(where, Loop(*where)), match[3])
    return sorted(loops.values(), key=lambda loop: (loop.line, loop.column))


def inner_loops(report: str, source: str) -> list[Loop]:
    """The loops of a report without scalar ones that hold other loops: nobody vectorises those.

    Args:
        report: The compiler's.
        source: The C++ text, for telling outer loops from inner ones.
    """
    text, loops = source.splitlines(), parse(report)
    spans = {id(loop): _span(text, loop) for loop in loops}
    inner = [
        loop
        for loop in loops
        if loop.width or not any(_holds(spans[id(loop)], o.line, loop) for o in loops)
    ]
    return [loop for loop in inner if loop.width or [*loop.reasons] != [_OUTER]]


def condense(inner: list[Loop], source: str, limit: int = _MOST_LINES) -> list[str]:
    """Loops in at most `limit` lines, with a piece of the source each.

    Args:
        inner: As `inner_loops` finds them.
        source: The C++ text.
        limit: Lines at most; scalar loops come before vectorised ones when there are more.
    """
    text = source.splitlines()
    kept = inner
    if len(inner) > limit:
        kept = sorted(inner, key=lambda loop: bool(loop.width))[: limit - 1]
    lines = dict.fromkeys(_line(v, text) for v in sorted(kept, key=lambda loop: loop.line))
    more = [f"and {len(inner) - len(kept)} more loops"] if len(inner) > len(kept) else []
    return [*lines, *more]


def _gcc(
    loops: dict[tuple[int, int], Loop], where: tuple[int, int], text: str, said: list[str]
) -> None:
    if match := _WIDTH.search(text):
        loop = loops.setdefault(where, Loop(*where))
        if int(match[1]) > loop.bytes_:
            loop.bytes_, loop.width = int(match[1]), f"{match[1]}-byte vectors"
        if any("reduc op not supported" in s for s in said):
            loop.notes[_IN_ORDER] = None
        said.clear()
    elif "because of possible aliasing" in text:
        loops.setdefault(where, Loop(*where)).notes[_ALIAS] = None
    elif text.startswith("couldn't vectorize loop"):
        loop = loops.setdefault(where, Loop(*where))
        loop.reasons[_telling(said)] = None
        said.clear()
    elif "basic block" in text:
        # Straight-line code is tried after the loops: its remarks are not theirs.
        said.clear()
    else:
        said.append(text)


def _last_word(loops: dict[tuple[int, int], Loop], text: str) -> None:
    latest = next(reversed(loops.values()), None)
    if latest is not None and latest.reasons.pop(_SILENT, _SILENT) is None:
        latest.reasons[_telling([text])] = None


def _clang(loop: Loop, text: str) -> None:
    if match := _CLANG_WIDTH.search(text):
        loop.width = f"{match[1]} elements at a time, {match[2]} interleaved"
    elif text.startswith("loop not vectorized:"):
        loop.reasons[_telling([text])] = None


def _telling(said: list[str]) -> str:
    for pattern, words in _PATTERNS:
        if any(pattern.search(text) for text in said):
            return words
    return said[-1][:80] if said else _SILENT


def _line(loop: Loop, text: list[str]) -> str:
    piece = text[loop.line - 1].strip() if 0 < loop.line <= len(text) else ""
    piece = piece if len(piece) <= _SNIPPET else piece[: _SNIPPET - 3] + "..."
    if loop.width:
        notes = "".join(f"; {note}" for note in loop.notes)
        return f"line {loop.line} `{piece}`: vectorised, {loop.width}{notes}"
    return f"line {loop.line} `{piece}`: scalar, {'; '.join(list(loop.reasons)[:2])}"


def _holds(span: tuple[int, int], line: int, loop: Loop) -> bool:
    return span[0] < line <= span[1] and line != loop.line


def _span(text: list[str], loop: Loop) -> tuple[int, int]:
    """First and last line of a loop, by its braces."""
    round_, curly = 0, 0
    for number, letter in _letters(text, loop.line):
        round_ += (letter == "(") - (letter == ")")
        curly += (letter == "{") - (letter == "}")
        if round_ == 0 and curly == 0 and letter in "};":
            return loop.line, number
    return loop.line, loop.line


def _letters(text: list[str], line: int) -> Iterator[tuple[int, str]]:
    for number in range(line, len(text) + 1):
        code = text[number - 1].partition("//")[0]
        if number == line:
            # From the loop's own head on; a `for` before it on the line is another loop.
            code = code[max(code.rfind("for"), code.rfind("while"), 0) :]
        for letter in code:
            yield number, letter
