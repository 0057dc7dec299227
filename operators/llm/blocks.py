"""Search/replace blocks: small edits as models write them, applied to a source.

A search part need not match letter by letter. Ways to match are tried from strict to lenient (as
it stands; blanks at line ends; indentation; blanks anywhere and empty lines; inside of one line),
and the first that finds anything must find it once. Indentation that the model left out or added is
mended in its replacement too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_SEARCH = re.compile(r"[ \t]*<{5,}[ \t]*(?:SEARCH|ORIGINAL|HEAD)?[ \t]*:?[ \t]*", re.IGNORECASE)
_DIVIDER = re.compile(r"[ \t]*={5,}[ \t]*")
_REPLACE = re.compile(r"[ \t]*>{5,}[ \t]*(?:REPLACE|UPDATED)?[ \t]*", re.IGNORECASE)
_NEAREST = 8


@dataclass(frozen=True, slots=True)
class Edit:
    """One block: lines to find, and lines to put in their place."""

    search: tuple[str, ...]
    replace: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Miss:
    """An edit that does not apply.

    Attributes:
        number: Its place among the edits, from 1.
        problem: Why, one line.
        nearest: The lines of the source that are most like it; empty when none is.
        kind: What it is one of.
    """

    number: int
    problem: str
    nearest: tuple[str, ...] = ()
    kind: str = "block"

    def __str__(self) -> str:
        text = f"{self.kind} {self.number}: {self.problem}"
        if self.nearest:
            text += "; most like it are these lines:\n" + "\n".join(self.nearest)
        return text


def edits(text: str) -> list[Edit] | Miss:
    """The search/replace blocks of a text, in order; a `Miss` when one is not complete."""
    found: list[Edit] = []
    search: list[str] | None = None
    replace: list[str] | None = None
    for line in text.split("\n"):
        if search is None:
            if _SEARCH.fullmatch(line):
                search = []
        elif replace is None:
            if _DIVIDER.fullmatch(line):
                replace = []
            else:
                search.append(line)
        elif _REPLACE.fullmatch(line):
            found.append(Edit(tuple(_bare(search)), tuple(_bare(replace))))
            search = replace = None
        else:
            replace.append(line)
    if search is not None:
        missing = "'======='" if replace is None else "'>>>>>>> REPLACE'"
        return Miss(len(found) + 1, f"it has no line {missing}")
    return found


def apply(source: str, wanted: Sequence[Edit]) -> str | list[Miss]:
    """Apply edits one after another, each to what the ones before it made.

    Returns:
        The new source, or every edit that does not apply; then nothing is to be changed.
    """
    lines = source.split("\n")
    misses = []
    for number, edit in enumerate(wanted, 1):
        changed = _applied(lines, edit)
        if isinstance(changed, str):
            misses.append(Miss(number, changed, nearest(lines, edit.search)))
        else:
            lines = changed
    return misses or "\n".join(lines)


def _applied(lines: list[str], edit: Edit) -> list[str] | str:
    """The lines with one edit made, or why it cannot be."""
    if not any(line.strip() for line in edit.search):
        return "its search part is empty"
    for key, skips_blank in WAYS:
        found = spans(lines, edit.search, key, skips_blank=skips_blank)
        if len(found) > 1:
            return f"its search part is found {len(found)} times"
        if found:
            start, end = found[0]
            moved = shift(lines[start:end], edit.search)
            return [*lines[:start], *(shifted(r, moved) for r in edit.replace), *lines[end:]]
    return _inside(lines, edit)


def _inside(lines: list[str], edit: Edit) -> list[str] | str:
    """An edit whose search part is a piece of one line."""
    pieces = [line.strip() for line in edit.search if line.strip()]
    new = [line.strip() for line in edit.replace if line.strip()]
    if len(pieces) == 1 and len(new) <= 1:
        at = [n for n, line in enumerate(lines) if pieces[0] in line]
        if len(at) == 1 and lines[at[0]].count(pieces[0]) == 1:
            changed = lines[at[0]].replace(pieces[0], new[0] if new else "")
            return [*lines[: at[0]], changed, *lines[at[0] + 1 :]]
    return "its search part is not in the kernel"


def spans(
    lines: list[str],
    search: Sequence[str],
    key: Callable[[str], str],
    *,
    skips_blank: bool,
    overlapping: bool = False,
) -> list[tuple[int, int]]:
    """Where the search part stands, as start and end line.

    Args:
        lines: Of the source.
        search: Of the search part.
        key: What of a line is compared.
        skips_blank: Whether blank lines do not count.
        overlapping: Whether places that overlap count each; else the first of them.
    """
    wanted = [key(line) for line in search if not skips_blank or line.strip()]
    places = [(n, key(line)) for n, line in enumerate(lines) if not skips_blank or line.strip()]
    found, least = [], 0
    for first in range(len(places) - len(wanted) + 1):
        if first < least or places[first][1] != wanted[0]:
            continue
        if all(places[first + n][1] == text for n, text in enumerate(wanted)):
            found.append((places[first][0], places[first + len(wanted) - 1][0] + 1))
            least = first + (1 if overlapping else len(wanted))
    return found


def shift(found: Sequence[str], search: Sequence[str]) -> tuple[str, str]:
    """The indents of the first line as the model wrote it and as it stands."""
    wrote = next(line for line in search if line.strip())
    stands = next(line for line in found if line.strip())
    return _indent(wrote), _indent(stands)


def shifted(line: str, moved: tuple[str, str]) -> str:
    """A new line with its indent changed as `shift` says."""
    wrote, stands = moved
    if wrote == stands or not line.strip():
        return line
    if line.startswith(wrote):
        return stands + line[len(wrote) :]
    return line.lstrip()


def nearest(lines: list[str], search: Sequence[str]) -> tuple[str, ...]:
    """The stretch of the source that shares most lines with a search part."""
    wanted = {line.strip() for line in search if len(line.strip()) > 3}
    shared = [n for n, line in enumerate(lines) if line.strip() in wanted]
    if not shared:
        return ()
    size = min(_NEAREST, max(len(search), 3))
    start = max(shared, key=lambda n: (sum(n <= m < n + size for m in shared), -n))
    return tuple(lines[start : start + size])


def _bare(lines: list[str]) -> list[str]:
    """Without the fence that some models put around each half of a block."""
    if len(lines) > 1 and lines[0].lstrip().startswith("```") and lines[-1].strip() == "```":
        return lines[1:-1]
    return lines


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _folded(line: str) -> str:
    """Without blanks but where they part two words."""
    return re.sub(r"(?<=\w) (?=\W)|(?<=\W) ", "", " ".join(line.split()))


WAYS: tuple[tuple[Callable[[str], str], bool], ...] = (
    (str, False),
    (str.rstrip, False),
    (str.strip, False),
    (_folded, True),
)
