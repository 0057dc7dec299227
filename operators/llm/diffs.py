"""Unified diffs as models write them, applied to a source.

Line numbers are mostly wrong and counts often, so a hunk is looked for by its lines: those that
stay and those that go, tried from strict to lenient as search/replace blocks are. Of places that
look alike the one is taken that lies between the hunks around it, or that the number names, if it
is right or wrong by as much as those of the hunks that are found once. Lines that stay are kept as
the source has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from operators.llm.blocks import WAYS, Miss, nearest, shift, shifted, spans

_HEADER = re.compile(r"(?P<indent>[ \t>]*)@@+(?:[ \t]*-(?P<start>\d+)(?:,\d+)?[ \t][^@]*@@)?.*")
_FENCE = re.compile(r"[ \t>]*(?:`{3,}|~{3,}).*")
_END = re.compile(r"diff --git .*|\*\*\* .*|Index: .*")


@dataclass(frozen=True, slots=True)
class Hunk:
    """One hunk.

    Attributes:
        lines: Mark and text: " " stays, "-" goes, "+" comes.
        start: Number of its first line in the old text, as it says; None where it does not.
    """

    lines: tuple[tuple[str, str], ...]
    start: int | None = None

    @property
    def old(self) -> tuple[str, ...]:
        """The lines that it is found by."""
        return tuple(text for mark, text in self.lines if mark != "+")


def hunks(text: str) -> list[Hunk]:
    """The hunks of a text, in order; those that change nothing are left out."""
    found: list[Hunk] = []
    lines = text.split("\n")
    at, fenced = 0, False
    while at < len(lines):
        header = _HEADER.fullmatch(lines[at])
        if header is None:
            fenced ^= _FENCE.fullmatch(lines[at]) is not None
            at += 1
            continue
        body, at = _body(lines, at + 1, header["indent"], fenced=fenced)
        start = int(header["start"]) if header["start"] else None
        if any(mark != " " for mark, _ in body):
            found.append(Hunk(tuple(body), start))
    return found


def patch(source: str, wanted: Sequence[Hunk]) -> str | list[Miss]:
    """Apply hunks, all of them to the source as it stands.

    Returns:
        The new source, or every hunk that does not apply; then nothing is to be changed.
    """
    lines = source.split("\n")
    places = [_places(lines, hunk) for hunk in wanted]
    chosen = [_chosen(number, wanted, places) for number in range(len(wanted))]
    misses = [
        Miss(number, problem, nearest(lines, wanted[number - 1].old), "hunk")
        for number, problem in enumerate(chosen, 1)
        if isinstance(problem, str)
    ]
    spots = sorted(
        (span, number) for number, span in enumerate(chosen) if not isinstance(span, str)
    )
    for ((_, end), _), ((start, _), number) in pairwise(spots):
        if start < end:
            misses.append(Miss(number + 1, "it overlaps another one", (), "hunk"))
    if misses:
        return misses
    for (start, end), number in reversed(spots):
        lines[start:end] = _changed(lines[start:end], wanted[number])
    return "\n".join(lines)


def _body(
    lines: list[str], at: int, indent: str, *, fenced: bool
) -> tuple[list[tuple[str, str]], int]:
    """A hunk's lines from `at` on, and where it ends."""
    body: list[tuple[str, str]] = []
    while at < len(lines) and not _ends(lines, at, indent):
        line = lines[at].removeprefix(indent)
        if line[:1] in ("+", "-", " "):
            body.append((line[0], line[1:]))
        elif not line or fenced:
            # An empty line lost its blank, and some write lines that stay as they are.
            if not line.startswith("\\"):
                body.append((" ", line))
        else:
            break
        at += 1
    while body and body[-1] == (" ", ""):
        body.pop()
    return body, at


def _ends(lines: list[str], at: int, indent: str) -> bool:
    line = lines[at].removeprefix(indent)
    if line.startswith(("@@", "```", "~~~")) or _END.fullmatch(line):
        return True
    following = [text.removeprefix(indent) for text in lines[at + 1 : at + 3]]
    # Names of files, before the hunks of another file or of the same one again.
    is_named = line.startswith("--- ") and bool(following) and following[0].startswith("+++ ")
    return is_named and following[1:] != [] and following[1].startswith("@@")


def _places(lines: list[str], hunk: Hunk) -> list[tuple[int, int]]:
    """Where a hunk may be, as start and end line, by the strictest way that finds anything."""
    if not any(line.strip() for line in hunk.old):
        return []
    for key, skips_blank in WAYS:
        if found := spans(lines, hunk.old, key, skips_blank=skips_blank, overlapping=True):
            return found
    return []


def _chosen(
    number: int, wanted: Sequence[Hunk], places: Sequence[Sequence[tuple[int, int]]]
) -> tuple[int, int] | str:
    """The one place of a hunk, or why there is none."""
    own, start = places[number], wanted[number].start
    if len(own) == 1:
        return own[0]
    if not own:
        if not any(line.strip() for line in wanted[number].old):
            return "it has no line of the kernel to find its place by"
        return "its lines are not in the kernel"
    # Hunks stand in the order of the text.
    above = [spots[0][1] for spots in places[:number] if len(spots) == 1]
    below = [spots[0][0] for spots in places[number + 1 :] if len(spots) == 1]
    between = [s for s in own if all(s[0] >= n for n in above) and all(s[1] <= n for n in below)]
    if len(between) == 1:
        return between[0]
    if start is not None:
        # How far off the numbers of hunks are that are found once; as they say where there is none.
        drifts = {
            spots[0][0] - hunk.start
            for hunk, spots in zip(wanted, places, strict=True)
            if len(spots) == 1 and hunk.start is not None
        } or {-1}
        right = [span for span in between if span[0] - start in drifts]
        if len(right) == 1:
            return right[0]
    return f"its lines are found {len(own)} times"


def _changed(found: list[str], hunk: Hunk) -> list[str]:
    """A stretch of the source with a hunk applied; blank lines need not agree."""
    moved = shift(found, hunk.old)
    made, at = [], 0
    for mark, text in hunk.lines:
        if mark == "+":
            made.append(shifted(text, moved))
            continue
        if not text.strip() and (at == len(found) or found[at].strip()):
            continue
        while text.strip() and not found[at].strip():
            made.append(found[at])
            at += 1
        if mark == " ":
            made.append(found[at])
        at += 1
    return made + found[at:]
