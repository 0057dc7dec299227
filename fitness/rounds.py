"""What a timing in rounds found: every batch's time, and which rounds count."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fitness import statistics
from populations.outcome import Speedup
from populations.pooling import combine

FEWEST_QUIET = 8


@dataclass(slots=True)
class Rounds:
    """What was measured on one workload.

    Attributes:
        names: The subjects, the candidate first.
        times_ms: Per subject, milliseconds per call in each round, all rounds in order.
        disturbed: Per round, whether another process took processor time away.
        waited_ms: Per round, how long a subject waited for a processor at most; empty where
            nothing was read.
        calls: Per subject, calls per batch.
        gave_up: Whether timing ended early because the candidate is hopeless.
        device: "cpu" or "cuda".
        unheld_ms: Per subject, what a call takes where nobody holds the device back; empty where
            its launches are soon done.
        counts_unheld: Whether the times are such, too.
    """

    names: tuple[str, ...]
    times_ms: dict[str, list[float]] = field(default_factory=dict)
    disturbed: list[bool] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    gave_up: bool = False
    device: str = ""
    waited_ms: list[float] = field(default_factory=list)
    unheld_ms: dict[str, float] = field(default_factory=dict)
    counts_unheld: bool = False

    def kept(self) -> list[int]:
        """Numbers of the rounds that count: the undisturbed ones, or the quietest when few are."""
        every = range(len(self.disturbed))
        quiet = [i for i in every if not self.disturbed[i]]
        if len(quiet) >= FEWEST_QUIET or not self.waited_ms:
            return quiet if len(quiet) >= FEWEST_QUIET else list(every)
        rank = min(max(FEWEST_QUIET, len(every) // 3), len(every)) - 1
        most = sorted(self.waited_ms)[rank]
        return [i for i in every if self.waited_ms[i] <= most]

    def log_ratios(self, baseline: str, candidate: str = "") -> list[float]:
        """ln(baseline time / candidate time) for every round that counts."""
        ours = self.times_ms[candidate or self.names[0]]
        theirs = self.times_ms[baseline]
        return [math.log(theirs[i] / ours[i]) for i in self.kept()]

    def speedup(self, baseline: str, candidate: str = "") -> Speedup:
        """The candidate against a baseline, with what chance does between and within processes."""
        candidate = candidate or self.names[0]
        call_ms = min(self.median_ms(candidate), self.median_ms(baseline))
        luck = statistics.luck(self.device, call_ms, host_bound=self.counts_unheld)
        return statistics.speedup(self.log_ratios(baseline, candidate), luck=luck)

    def median_ms(self, name: str) -> float:
        """A subject's median time of one call over the rounds that count."""
        times = self.times_ms[name]
        return statistics.median([times[i] for i in self.kept()])

    def count_unheld(self) -> None:
        """Take `unheld_ms` in place of the medians of calls that the host had launched ahead.

        What a round's times differ by from the median stays: the rounds stay paired.
        """
        for name, call_ms in self.unheld_ms.items():
            longer = call_ms / self.median_ms(name)
            self.times_ms[name] = [longer * time_ms for time_ms in self.times_ms[name]]
        self.counts_unheld = True

    def facts(self) -> dict[str, Any]:
        """JSON-able: how it was measured."""
        return {
            "rounds": len(self.disturbed),
            "kept": len(self.kept()),
            "disturbed": sum(self.disturbed),
            "calls": dict(self.calls),
            "gave_up": self.gave_up,
            **self.unheld(),
        }

    def unheld(self) -> dict[str, Any]:
        """JSON-able: what calls take where nobody holds the device back, where that is told."""
        if not self.unheld_ms:
            return {}
        return {"unheld_ms": dict(self.unheld_ms), "counts_unheld": self.counts_unheld}


class Draws:
    """One workload measured several times, by other processes each time.

    A process may be slower than its twin from its beginning to its end, which no number of rounds
    shows. So each draw counts as one measurement, and what the draws differ by is in the interval
    (`populations.pooling.combine`). One draw alone is what its rounds say.
    """

    def __init__(self, rounds: Iterable[Rounds]) -> None:
        """Take at least one; a subject that was not timed in each of them counts as not timed."""
        self.rounds: Sequence[Rounds] = tuple(rounds)
        first, *others = self.rounds
        self.names = tuple(n for n in first.names if all(n in each.names for each in others))

    @property
    def times_ms(self) -> dict[str, list[float]]:
        """Per subject, milliseconds per call in each round, draw after draw."""
        return {n: [t for each in self.rounds for t in each.times_ms[n]] for n in self.names}

    def log_ratios(self, baseline: str, candidate: str = "") -> list[float]:
        """ln(baseline time / candidate time) for every round that counts, draw after draw."""
        return [r for each in self.rounds for r in each.log_ratios(baseline, candidate)]

    def speedup(self, baseline: str, candidate: str = "") -> Speedup:
        """The candidate against a baseline: the draws as measurements of their own, combined."""
        return combine([each.speedup(baseline, candidate) for each in self.rounds])

    def median_ms(self, name: str) -> float:
        """A subject's median time of one call over the rounds that count."""
        each = self.rounds
        return statistics.median([r.times_ms[name][i] for r in each for i in r.kept()])

    def facts(self) -> dict[str, Any]:
        """JSON-able: how it was measured; `medians_ms` per subject has one number per draw.

        What calls take without a hold is the first draw's that tells: on CUDA there is one draw.
        """
        each = [rounds.facts() for rounds in self.rounds]
        return {
            **{k: sum(f[k] for f in each) for k in ("rounds", "kept", "disturbed")},
            "calls": each[0]["calls"],
            "gave_up": any(f["gave_up"] for f in each),
            "draws": len(each),
            **next(filter(None, (rounds.unheld() for rounds in self.rounds)), {}),
            "medians_ms": {n: [r.median_ms(n) for r in self.rounds] for n in self.names},
        }
