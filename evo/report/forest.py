"""Where each kernel of a lineage stands in the drawing: which are drawn, columns and lanes.

The lineage is drawn along first parents, as a forest whose roots are the seeds. A column is a
generation; a lane is a row in which one line of descent runs, reused as soon as it is free.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from populations.kernel import Kernel
    from populations.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Place:
    """A drawn kernel.

    Attributes:
        kernel: The kernel.
        column: Its generation, counted over the drawn ones, from 0.
        lane: Its row, from 0.
        hidden: Descendants that stand for themselves nowhere, counted by outcome.
    """

    kernel: Kernel
    column: int
    lane: int
    hidden: Mapping[Outcome, int]


def lay_out(
    kernels: Sequence[Kernel], *, path: Sequence[int], keep: Collection[int], limit: int
) -> dict[int, Place]:
    """Choose what is drawn and where.

    All kernels are drawn if there are at most `limit`. Otherwise those on the way to a kernel of
    `path` or `keep`, then the ones with most descendants; the others are counted at the nearest
    ancestor that is drawn.

    Args:
        kernels: In order of proposal, parents before children.
        path: Numbers from a seed to the champion: they take the uppermost lane.
        keep: Numbers that must be drawn.
        limit: Most kernels drawn, unless the kept ones alone are more.

    Returns:
        Number -> place, in order of proposal.
    """
    first = {k.number: k.candidate.parents[0] for k in kernels if k.candidate.parents}
    chosen = _chosen(kernels, first, {*path, *keep}, limit)
    hidden = _hidden(kernels, first, chosen)
    columns = _columns(kernels, chosen)
    lanes = _lanes(chosen, first, columns, path)
    return {
        kernel.number: Place(
            kernel=kernel,
            column=columns[kernel.number],
            lane=lanes[kernel.number],
            hidden=hidden.get(kernel.number, {}),
        )
        for kernel in kernels
        if kernel.number in chosen
    }


def _chosen(
    kernels: Sequence[Kernel], first: Mapping[int, int], keep: Collection[int], limit: int
) -> set[int]:
    if len(kernels) <= limit:
        return {kernel.number for kernel in kernels}
    chosen: set[int] = set()
    for number in keep:
        while number not in chosen:
            chosen.add(number)
            if number in first:
                number = first[number]  # noqa: PLW2901 - climbs to the seed
    size = Counter(kernel.number for kernel in kernels)
    for kernel in reversed(kernels):
        if kernel.number in first:
            size[first[kernel.number]] += size[kernel.number]
    # An ancestor has more descendants than any of them, so it is chosen before them.
    ranked = sorted(
        (kernel for kernel in kernels if kernel.number not in chosen),
        key=lambda kernel: (-size[kernel.number], not kernel.passed, kernel.number),
    )
    chosen.update(kernel.number for kernel in ranked[: max(limit - len(chosen), 0)])
    return chosen


def _hidden(
    kernels: Sequence[Kernel], first: Mapping[int, int], chosen: set[int]
) -> dict[int, Counter[Outcome]]:
    counts: dict[int, Counter[Outcome]] = {}
    shown_at: dict[int, int] = {}
    for kernel in kernels:
        number = kernel.number
        if number in chosen:
            shown_at[number] = number
        elif number in first:
            shown_at[number] = shown_at[first[number]]
            counts.setdefault(shown_at[number], Counter())[kernel.evaluation.outcome] += 1
    return counts


def _columns(kernels: Sequence[Kernel], chosen: set[int]) -> dict[int, int]:
    generation: dict[int, int] = {}
    for kernel in kernels:
        parents = kernel.candidate.parents
        generation[kernel.number] = max((generation[p] + 1 for p in parents), default=0)
    used = sorted({generation[number] for number in chosen})
    rank = {value: index for index, value in enumerate(used)}
    return {number: rank[generation[number]] for number in chosen}


def _lanes(
    chosen: set[int], first: Mapping[int, int], columns: Mapping[int, int], path: Sequence[int]
) -> dict[int, int]:
    """One lane per line of descent; the champion's is the first, longer lines come before short."""
    children: dict[int, list[int]] = {number: [] for number in chosen}
    reach = dict(columns)  # the last column of each subtree
    for number in sorted(chosen, reverse=True):
        if (parent := first.get(number)) is not None:
            children[parent].append(number)
            reach[parent] = max(reach[parent], reach[number])
    on_path = set(path)

    def order(number: int) -> tuple[bool, int, int]:
        return number not in on_path, -reach[number], number

    taken: list[set[int]] = []  # per lane, the columns in use
    lanes: dict[int, int] = {}
    heads = sorted((n for n in chosen if n not in first), key=order, reverse=True)
    while heads:
        head = heads.pop()
        line = [head]
        while offspring := sorted(children[line[-1]], key=order):
            # The last kernel's children are placed first: no edge then crosses a line.
            heads.extend(reversed(offspring[1:]))
            line.append(offspring[0])
        parent = first.get(head)
        begin = columns[head] if parent is None else columns[parent] + 1
        lane = 0 if parent is None else lanes[parent] + 1
        wanted = set(range(begin, columns[line[-1]] + 1))
        while lane < len(taken) and taken[lane] & wanted:
            lane += 1
        taken.extend(set() for _ in range(lane + 1 - len(taken)))
        taken[lane] |= wanted
        lanes.update(dict.fromkeys(line, lane))
    return lanes
