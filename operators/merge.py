"""Crossover without a model: a three-way merge of two kernels over their common ancestor.

What each parent changed since the ancestor is taken from that parent, as version control does with
two branches (diff3; Khanna, Kunal and Pierce 2007, "A Formal Investigation of Diff3"). Two good but
independent edits of one kernel end up in one child.
"""

from __future__ import annotations

import ast
import re
import warnings
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from operators.operator import Inapplicable, Variation
from populations.parameters import adopt, skeleton, values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from operators.operator import Situation
    from populations.kernel import Kernel
    from populations.lineage import Lineage

# A word or one other character, each with the blanks before it, so that a text is its tokens
# joined and an unchanged blank never counts as an unchanged token between two edits.
_TOKEN = re.compile(r"[ \t]*(?:\w+|[^\w \t]|\Z)")
# Matching is quadratic in the worst case: a hunk of more tokens than this stays a conflict.
_MAX_HUNK_TOKENS = 1200


class ThreeWayMerge:
    """Merge two parents line by line over their nearest common ancestor.

    Where both changed the same lines, those lines are merged token by token; a token that both
    changed differently makes the operator inapplicable. Where both changed a launch parameter, the
    better parent's value stands: values are what tuning is for, not what a conflict is about.

    May break: the edits can contradict each other although they touch different text (one renames
    a variable, the other uses it), so a child may fail to build or compute something else. The
    judge decides; the merge only promises a module that parses.
    """

    name = "merge"
    arity = 2

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Variation | Inapplicable:
        """Merge the two parents; deterministic, draws no randomness."""
        best, other = parents[0], parents[1]
        ancestor = _ancestor(best, other, situation.lineage)
        if isinstance(ancestor, Inapplicable):
            return ancestor
        tuned = values(best.source)
        base = adopt(ancestor.source, tuned)
        source = merge(best.source, adopt(other.source, tuned), base)
        if source is None:
            return Inapplicable("both parents changed the same text")
        if skeleton(source) in (skeleton(best.source), skeleton(other.source)):
            return Inapplicable("the merge is one of the parents up to launch parameters")
        if not _parses(source):
            return Inapplicable("the merge does not parse")
        note = f"merged {best.number} and {other.number} over {ancestor.number}"
        return Variation(source=source, note=note)


def _ancestor(a: Kernel, b: Kernel, lineage: Lineage) -> Kernel | Inapplicable:
    """The kernel to merge over, or why there is none."""
    if a.candidate.language != b.candidate.language:
        return Inapplicable("the parents are written in different languages")
    if not {a.number, b.number} <= lineage.kernels.keys():
        return Inapplicable("a parent is not in the lineage")
    number = lineage.common_ancestor(a.number, b.number)
    if number is None:
        return Inapplicable("the parents have no ancestor in common")
    if number in (a.number, b.number):
        return Inapplicable("one parent descends from the other")
    return lineage.get(number)


def merge(a: str, b: str, base: str) -> str | None:
    """Apply to `base` what `a` changed and what `b` changed; None when they conflict.

    Symmetric in `a` and `b`. Works on lines, and on tokens inside lines that both changed.
    """
    merged: list[str] = []
    lines = [text.splitlines(keepends=True) for text in (a, b, base)]
    for hunk in _hunks(*lines):
        chosen = _choice(*hunk)
        if chosen is None:
            chosen = _merged_tokens(*hunk)
        if chosen is None:
            return None
        merged += chosen
    return "".join(merged)


def _merged_tokens(a: list[str], b: list[str], base: list[str]) -> list[str] | None:
    tokens = [_TOKEN.findall("".join(part)) for part in (a, b, base)]
    if sum(map(len, tokens)) > _MAX_HUNK_TOKENS:
        return None
    merged: list[str] = []
    for hunk in _hunks(*tokens):
        chosen = _choice(*hunk)
        if chosen is None:
            return None
        merged += chosen
    return merged


def _choice(a: list[str], b: list[str], base: list[str]) -> list[str] | None:
    """The side that changed; None when both did, differently."""
    if a in (b, base):
        return b
    return a if b == base else None


def _hunks(
    a: list[str], b: list[str], base: list[str]
) -> Iterator[tuple[list[str], list[str], list[str]]]:
    """Cut three sequences into pieces that belong together, in order.

    Pieces that all three have unchanged alternate with pieces in which `a` or `b` differs.
    """
    at_a = at_b = at_base = 0
    for start, length, in_a, in_b in _common(a, b, base):
        changed = a[at_a:in_a], b[at_b:in_b], base[at_base:start]
        if any(changed):
            yield changed
        if length:
            same = base[start : start + length]
            yield same, same, same
        at_a, at_b, at_base = in_a + length, in_b + length, start + length


def _common(a: list[str], b: list[str], base: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """Stretches of `base` that stand unchanged in `a` and `b`: start, length, start in each.

    The last one is the empty stretch behind the ends.
    """
    blocks_a = SequenceMatcher(None, base, a, autojunk=False).get_matching_blocks()
    blocks_b = SequenceMatcher(None, base, b, autojunk=False).get_matching_blocks()
    i = j = 0
    while i < len(blocks_a) and j < len(blocks_b):
        block_a, block_b = blocks_a[i], blocks_b[j]
        start = max(block_a.a, block_b.a)
        end = min(block_a.a + block_a.size, block_b.a + block_b.size)
        if start < end:
            in_a, in_b = block_a.b + start - block_a.a, block_b.b + start - block_b.a
            yield start, end - start, in_a, in_b
        if block_a.a + block_a.size < block_b.a + block_b.size:
            i += 1
        else:
            j += 1
    yield len(base), 0, len(a), len(b)


def _parses(source: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True
