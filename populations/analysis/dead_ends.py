"""Kernels whose descendants brought nothing: what the search spent on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from populations.kernel import Kernel
    from populations.lineage import Lineage


@dataclass(frozen=True, slots=True)
class DeadEnd:
    """The root of a part of the lineage that led nowhere.

    Attributes:
        kernel: The root. Of one that passed, no descendant improved on it: none had the lower end
            of its interval above the root's speedup. Of one that failed, no descendant passed.
        descendants: Kernels that descend from it: the evaluations spent on it.
        passed: Those of them that passed.
    """

    kernel: Kernel
    descendants: int
    passed: int


def dead_ends(lineage: Lineage, *, champion: int | None = None) -> tuple[DeadEnd, ...]:
    """The dead ends, the one with the most descendants first.

    A kernel without descendants was never tried further and is none; nor is the final champion,
    which nothing could improve on. Where one dead end descends from another, only the first is
    given.
    """
    kernels = lineage.kernels
    best_below = _best_below(kernels)
    dead = {
        number
        for number, low in best_below.items()
        if number != champion and low <= _to_beat(kernels[number])
    }
    roots = [n for n in dead if dead.isdisjoint(kernels[n].candidate.parents)]
    found = [_dead_end(lineage, number) for number in roots]
    return tuple(sorted(found, key=lambda d: (-d.descendants, d.kernel.number)))


def _best_below(kernels: Mapping[int, Kernel]) -> dict[int, float]:
    """The greatest lower end among a kernel's descendants, 0 where none passed; none: no entry."""
    best: dict[int, float] = {}
    # Children have greater numbers than their parents.
    for number in sorted(kernels, reverse=True):
        kernel = kernels[number]
        speedup = kernel.evaluation.speedup
        here = max(speedup.low if speedup else 0.0, best.get(number, 0.0))
        for parent in kernel.candidate.parents:
            best[parent] = max(here, best.get(parent, 0.0))
    return best


def _to_beat(kernel: Kernel) -> float:
    return kernel.evaluation.speedup.value if kernel.evaluation.speedup else 0.0


def _dead_end(lineage: Lineage, number: int) -> DeadEnd:
    below = lineage.descendants(number)
    passed = sum(lineage.get(each).passed for each in below)
    return DeadEnd(lineage.get(number), len(below), passed)
