"""The device's own word on a verification: who kept it busy for longer than he says has cheated.

Seen while the candidate's processes live, concluded when they are gone (`fitness.busy`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from fitness import busy, statistics
from fitness.busy import Caller, Meter, Stretch
from fitness.process import Fault
from fitness.rounds import Rounds
from fitness.spec import EvaluationSpec
from fitness.telemetry import Record, watched
from populations.outcome import Outcome

UNTOLD = "the driver tells no samples of how busy the device was"


class _Seen(NamedTuple):
    baseline: str
    claimed_ms: float
    stretch: Stretch


class Witness:
    """What was seen of one candidate on a CUDA device, workload after workload."""

    def __init__(self, spec: EvaluationSpec, rng: random.Random) -> None:
        """See nothing yet. Where the driver tells nothing, nothing ever follows."""
        self.facts: dict[str, dict[str, Any]] = {}
        """Workload -> what was seen and whether anything followed, JSON-able."""
        self._spec = spec
        self._rng = rng
        self._meter = Meter.of(spec.torch_device)
        self._seen: dict[str, _Seen] = {}

    def see(self, workload: str, ours: Caller, rounds: Rounds, record: Record) -> None:
        """Watch the candidate on a workload that was timed just now; the device is still leased.

        Args:
            workload: Its name.
            ours: The candidate, which makes calls.
            rounds: Its timing; the last subject is a baseline's.
            record: What the device was like meanwhile.
        """
        if self._meter is None:
            self.facts[workload] = {"concluded": False, "reason": UNTOLD}
            return
        claimed_ms = rounds.median_ms(rounds.names[0])
        with watched(self._spec.torch_device) as now:
            found = self._least(ours, self._meter, claimed_ms)
        # A device that has little to do may lower its clock: no kernel is at fault for that.
        slower = max(_sm_mhz(record) / _sm_mhz(now), 1.0) if _sm_mhz(now) else 1.0
        self._seen[workload] = _Seen(rounds.names[-1], slower * claimed_ms, found)
        self.facts[workload] = busy.facts(found)

    def _least(self, ours: Caller, meter: Meter, claimed_ms: float) -> Stretch:
        found = busy.stretch(ours, meter, self._rng, claimed_ms=claimed_ms)
        for _ in range(busy.TRIES - 1):
            if not busy.fault("", claimed_ms, found):
                break
            again = busy.stretch(ours, meter, self._rng, claimed_ms=claimed_ms)
            if again.by_clock or (again.shares and again.device_ms() < found.device_ms()):
                found = again
        return found

    def conclude(self, trusted: Callable[[str, str], AbstractContextManager[Caller]]) -> None:
        """See what remains without the calls, where there is a suspicion. Raises Fault.

        None of the candidate's processes may be alive.

        Args:
            trusted: Workload and a baseline on it -> the device for us alone, and that baseline.
        """
        for workload, (baseline, claimed_ms, found) in self._seen.items():
            if self._meter is None or not busy.fault("", claimed_ms, found):
                continue
            with trusted(workload, baseline) as ours:
                empty = busy.stretch(ours, self._meter, self._rng, empty=True)
            self.facts[workload] = busy.facts(found, empty)
            if text := busy.fault("the kernel", claimed_ms, found, empty):
                text = f"workload {workload!r}: {text}"
                raise Fault(Outcome.CHEATED, text, {"busy": self.facts})


def _sm_mhz(record: Record) -> float:
    """The device's clock, in the middle of what was seen; 0 where it is not told."""
    seen = [sample["sm_mhz"] for sample in record.samples if "sm_mhz" in sample]
    return statistics.median(seen) if seen else 0.0
