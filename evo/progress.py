"""What a run's events add up to: the state behind every view of it."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evo.budget import Budget, Spent, time_left_s
from evo.events import (
    BaselinesMeasured,
    Event,
    Finished,
    Judged,
    Proposed,
    Remeasured,
    Resumed,
    Started,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from populations.kernel import Candidate, Kernel
    from populations.outcome import Outcome

# Improvements kept for display.
KEPT = 6


@dataclass(frozen=True, slots=True)
class Improvement:
    """A kernel that became champion, and when (seconds of the run; None: in an earlier session)."""

    kernel: Kernel
    wall_s: float | None


class Progress:
    """Adds up events. Holds no clock but the one it is given, no lock, and draws nothing.

    Args:
        clock: Monotonic seconds; lets the figures go on between two events.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.started: Started | None = None
        self.finished: Finished | None = None
        self.best: Kernel | None = None
        self.outcomes: Counter[Outcome] = Counter()
        self.under_way: dict[int, Candidate] = {}
        self.improvements: deque[Improvement] = deque(maxlen=KEPT)
        self.baselines: Mapping[str, Mapping[str, float]] = {}
        self._clock = clock
        self._spent = Spent()
        self._since: float | None = None  # when `_spent` was true; None: the search stands still

    def add(self, event: Event) -> None:
        """Take up one event."""
        match event:
            case Started():
                self.started = event
            case BaselinesMeasured(table):
                self.baselines = table
            case Resumed():
                self._resume(event)
            case Proposed(candidate):
                self.under_way[candidate.number] = candidate
                if self._since is None:
                    self._since = self._clock()
            case Judged():
                self._judge(event)
            case Remeasured():
                self._remeasure(event)
            case Finished():
                self.finished = event
                self._spent, self._since = event.spent, None

    @property
    def budget(self) -> Budget:
        """The run's limits; none before it has started."""
        return self.started.budget if self.started else Budget()

    @property
    def spent(self) -> Spent:
        """What the run has used, wall time up to now."""
        if self._since is None:
            return self._spent
        return dataclasses.replace(
            self._spent, wall_s=self._spent.wall_s + self._clock() - self._since
        )

    @property
    def time_left_s(self) -> float | None:
        """Seconds until the first limit is reached, as far as can be known."""
        return time_left_s(self.budget, self.spent)

    @property
    def share_spent(self) -> float | None:
        """Share of the tightest limit that is used up, 0..1; None without a limit."""
        budget, spent = self.budget, self.spent
        pairs = (
            (budget.evaluations, spent.evaluations),
            (budget.wall_s, spent.wall_s),
            (budget.device_s, spent.device_s),
        )
        shares = [min(used / limit, 1.0) for limit, used in pairs if limit]
        return max(shares, default=None)

    @property
    def device_share(self) -> float:
        """Share of the wall time in which the device was held for timing, 0..1."""
        spent = self._spent
        return min(spent.device_s / spent.wall_s, 1.0) if spent.wall_s > 0 else 0.0

    def _resume(self, event: Resumed) -> None:
        kernels = {kernel.number: kernel for kernel in event.kernels}
        self.outcomes.update(kernel.evaluation.outcome for kernel in event.kernels)
        for number in event.improvements:
            self.best = kernels[number]
            self.improvements.append(Improvement(kernels[number], None))
        self._spent = event.spent

    def _judge(self, event: Judged) -> None:
        kernel = event.kernel
        self.under_way.pop(kernel.number, None)
        self.outcomes[kernel.evaluation.outcome] += 1
        if event.is_best:
            self.best = kernel
            self.improvements.append(Improvement(kernel, event.spent.wall_s))
        self._spent, self._since = event.spent, self._clock()

    def _remeasure(self, event: Remeasured) -> None:
        self.best = event.champion
        if event.is_new and event.champion is not None:
            self.improvements.append(Improvement(event.champion, event.spent.wall_s))
        self._spent, self._since = event.spent, self._clock()
