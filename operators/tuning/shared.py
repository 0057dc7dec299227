"""An estimate of the shared memory that a point needs, from what its siblings were given.

Triton says what a compiled kernel uses, and what one that did not fit would have used. Tiles and
stages multiply, so the estimate is a product of powers of the parameters, fitted in logarithms. It
is trusted only where it explains what is known.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from operators.tuning.space import Point, Space
    from populations.kernel import Kernel
    from populations.parameters import Value

_REQUIRED = re.compile(r"shared memory, Required: (\d+), Hardware limit: (\d+)", re.IGNORECASE)
# The estimate counts when it is nowhere off by more than `_FIT`, and a point is held back when it
# exceeds the limit by more than that again.
_FIT = 0.1
# Weight of the opinion that a parameter does not matter, in observations.
_RIDGE = 1e-3


@dataclass(frozen=True, slots=True)
class SharedMemory:
    """A product of powers of the parameters that are positive numbers.

    Attributes:
        places: Which parameters, by their places in a point.
        powers: The power of each.
        log_factor: Logarithm of what stands in front.
        limit_bytes: What one block may have.
    """

    places: tuple[int, ...]
    powers: tuple[float, ...]
    log_factor: float
    limit_bytes: float

    def log_bytes(self, point: Point) -> float:
        """Logarithm of the bytes that a point is thought to need."""
        terms = zip(self.places, self.powers, strict=True)
        return self.log_factor + sum(power * math.log(float(point[at])) for at, power in terms)

    def fits(self, point: Point) -> bool:
        """Whether a point is not clearly over the limit."""
        return self.log_bytes(point) <= math.log(self.limit_bytes) + _FIT


def shared_memory(
    space: Space, study: Iterable[Kernel], facts: Mapping[str, Value]
) -> SharedMemory | None:
    """Fit the estimate; None where too little is known, or where it explains that badly.

    Args:
        space: The points of a skeleton.
        study: Its judged kernels.
        facts: What is known of the device, by the names of `populations.constraints.FACTS`.
    """
    known: dict[Point, float] = {}
    limits = [float(v)] if isinstance(v := facts.get("shared_memory"), int) else []
    for kernel in study:
        if match := _REQUIRED.search(kernel.evaluation.diagnostics):
            known[space.point(kernel)] = float(match[1])
            limits.append(float(match[2]))
        elif used := _used(kernel):
            known[space.point(kernel)] = float(used)
    places = tuple(
        at
        for at, (own, ordered) in enumerate(zip(space.choices.values(), space.ordered, strict=True))
        if ordered and len(own) > 1 and all(float(choice) > 0 for choice in own)
    )
    if not limits or min(limits) <= 0 or len(known) < len(places) + 2:
        return None
    return _fitted(known, places, min(limits))


def _fitted(
    known: Mapping[Point, float], places: tuple[int, ...], limit: float
) -> SharedMemory | None:
    import numpy as np

    logs = np.log(np.array([[float(point[at]) for at in places] for point in known]))
    bytes_ = np.log(np.array(list(known.values())))
    middle, mean = logs.mean(0), float(bytes_.mean())
    off = logs - middle
    powers = np.linalg.solve(off.T @ off + _RIDGE * np.eye(len(places)), off.T @ (bytes_ - mean))
    if np.abs(off @ powers - (bytes_ - mean)).max() > _FIT:
        return None
    factor = mean - float(middle @ powers)
    return SharedMemory(places, tuple(map(float, powers)), factor, limit)


def _used(kernel: Kernel) -> int:
    """Shared memory of the greediest of a candidate's kernels, as its compiler said; 0: unknown."""
    diagnostics = kernel.evaluation.details.get("diagnostics")
    kernels = diagnostics.get("kernels") if isinstance(diagnostics, dict) else None
    if not isinstance(kernels, list):
        return 0
    found = [k.get("shared_bytes", 0) for k in kernels if isinstance(k, dict)]
    return max((n for n in found if isinstance(n, int)), default=0)
