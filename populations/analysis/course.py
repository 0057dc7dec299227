"""A run in time: when the first correct kernel and each new best came, how varied it was."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from populations.parameters import skeleton

if TYPE_CHECKING:
    from populations.analysis.history import History
    from populations.kernel import Kernel

# Evaluations of one window.
WINDOW = 50


@dataclass(frozen=True, slots=True)
class Milestone:
    """A kernel that became champion, and what the run had used by then.

    Attributes:
        kernel: The kernel; the first milestone is the first correct one.
        evaluations: Spent up to this kernel's first and with it, in order of proposal.
        device_s: Device time of the kernels up to this one, seconds, with what went into measuring
            them again.
        wall_s: Seconds since the first evaluation was stored, pauses of a run that was resumed
            included; None where the times are not known. A kernel that was judged later than some
            proposed after it counts from when it was judged.
    """

    kernel: Kernel
    evaluations: int
    device_s: float
    wall_s: float | None


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive evaluations, in order of proposal.

    Attributes:
        first: Number of the first kernel.
        last: Number of the last one.
        judged: How many.
        passed: Those that passed every check.
        skeletons: Distinct texts among them, launch parameters aside.
        new: Those of the skeletons that no earlier window had.
        evenness: How evenly operators had their turn, 0 (one alone) to 1 (see `evenness`).
    """

    first: int
    last: int
    judged: int
    passed: int
    skeletons: int
    new: int
    evenness: float


def milestones(history: History) -> tuple[Milestone, ...]:
    """Every champion in the line; empty as long as no kernel has passed."""
    line = frozenset(history.champions)
    began = min(history.stored_unix_s.values(), default=None)
    found = []
    device_s = 0.0
    places: dict[int, int] = {}
    for place, number in enumerate(history.heard or history.kernels, 1):
        places.setdefault(number, place)
    for number, kernel in history.kernels.items():
        device_s += kernel.evaluation.device_s
        if number in line:
            stored = history.stored_unix_s.get(number)
            wall_s = None if stored is None or began is None else stored - began
            found.append(Milestone(kernel, places[number], device_s, wall_s))
    return tuple(found)


def windows(kernels: Iterable[Kernel], *, size: int = WINDOW) -> tuple[Window, ...]:
    """How varied the search was, `size` evaluations at a time; the last window may be shorter."""
    seen: set[str] = set()
    found = []
    for window in _chunks(list(kernels), size):
        skeletons = {skeleton(kernel.source) for kernel in window}
        found.append(
            Window(
                first=window[0].number,
                last=window[-1].number,
                judged=len(window),
                passed=sum(kernel.passed for kernel in window),
                skeletons=len(skeletons),
                new=len(skeletons - seen),
                evenness=evenness(kernel.candidate.operator for kernel in window),
            )
        )
        seen |= skeletons
    return tuple(found)


def evenness(names: Iterable[str]) -> float:
    """Shannon entropy of the names' shares over that of even shares, 0..1 (Pielou 1966).

    1 means that every name that occurs does so equally often; 0 that there is one name, or none.
    """
    counts = Counter(names)
    total = counts.total()
    if len(counts) < 2:
        return 0.0
    entropy = -sum(n / total * math.log(n / total) for n in counts.values())
    return entropy / math.log(len(counts))


def _chunks(kernels: Sequence[Kernel], size: int) -> Iterable[Sequence[Kernel]]:
    return (kernels[start : start + size] for start in range(0, len(kernels), size))
