"""Which kernels are worth a profile: those that seem faster than all that was judged before.

A profile costs less than an evaluation, but on a plateau every second kernel seems as fast as the
best. So whoever may be the best gets one while profiles take little of the time, and whoever is the
best for certain gets one in any case: nobody becomes champion without (`populations.statistics`:
a champion's least speedup is above its predecessor's, which is above everybody's least).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation, Speedup

# The stage of an evaluation in which a profile is taken.
STAGE = "profile"
# Share of the time spent judging that profiles of those may take that are not the best for certain.
SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Bar:
    """What a kernel's speedup must reach for a profile.

    Attributes:
        above: The highest least speedup of the others.
        certain: Whether its own least speedup is to be above that, or only its estimate.
    """

    above: float
    certain: bool = False

    def cleared(self, speedup: Speedup) -> bool:
        """Whether a kernel of this speedup is to be profiled."""
        return (speedup.low if self.certain else speedup.value) > self.above


class Elites:
    """The bar as it rises. Callable from several threads; what it says decides no verdict."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By text. Of one that was measured several times the lowest, so that a lucky measurement
        # does not keep the bar up.
        self._least: dict[str, float] = {}
        self._profiled: set[str] = set()
        self._profiles_s = 0.0
        self._judging_s = 0.0

    def adopt(self, kernels: Iterable[Kernel]) -> None:
        """Take what an earlier session of the run judged."""
        for kernel in kernels:
            self.judged(kernel.candidate, kernel.evaluation)

    def bar(self, candidate: Candidate) -> Bar | None:
        """What a candidate has to clear; None where it has been profiled already."""
        with self._lock:
            if candidate.digest in self._profiled:
                return None
            others = (low for text, low in self._least.items() if text != candidate.digest)
            return Bar(max(others, default=0.0), self._profiles_s > SHARE * self._judging_s)

    def judged(self, candidate: Candidate, evaluation: Evaluation) -> None:
        """Take note of an evaluation."""
        stages = evaluation.details.get("stages")
        spent = stages.get(STAGE) if isinstance(stages, Mapping) else None
        with self._lock:
            self._judging_s += evaluation.build_s + evaluation.run_s
            if isinstance(spent, Mapping):
                self._profiled.add(candidate.digest)
                self._profiles_s += spent.get("wall_s", 0.0)
            if evaluation.speedup is not None:
                low = evaluation.speedup.low
                self._least[candidate.digest] = min(low, self._least.get(candidate.digest, low))
