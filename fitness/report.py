"""The final word on a champion: every baseline, every workload, fresh seeds, raw samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from populations.outcome import Outcome, Speedup, Timing


@dataclass(frozen=True, slots=True)
class WorkloadReport:
    """One workload of a verified champion. Everything was measured in the same rounds.

    Attributes:
        workload: Its name.
        times_ms: Median time of one call: "candidate", "control", each baseline, and "seed" when
            the seed is right on this workload.
        timings: The candidate against each baseline, the fastest first.
        seed: The candidate against the seed; None when the seed is not right here.
        seed_speedup: The seed against the fastest baseline; None like `seed`.
        control: A second process of the same candidate against the first: what the measurement
            makes of a ratio that is 1.
        samples_ms: Raw samples: per subject, time of one call in every round.
        facts: How it was measured (`fitness.rounds.Rounds.facts`), in what state the device was
            ("telemetry": `fitness.telemetry.Record.facts`), and on CUDA how busy its driver says
            that a call kept it ("busy": `fitness.busy.facts`).
    """

    workload: str
    times_ms: Mapping[str, float]
    timings: tuple[Timing, ...]
    seed: Speedup | None
    seed_speedup: Speedup | None
    control: Speedup
    samples_ms: Mapping[str, tuple[float, ...]]
    facts: Mapping[str, Any]

    @property
    def fastest(self) -> Timing:
        """The candidate against the fastest baseline."""
        return self.timings[0]


@dataclass(frozen=True, slots=True)
class FinalReport:
    """What verification of a champion found.

    Attributes:
        outcome: PASSED, or what went wrong under fresh seeds.
        diagnostics: Text; empty when it passed.
        checks_passed: Correctness checks passed, over all workloads verified.
        checks_total: Correctness checks a right candidate passes.
        workloads: One entry per workload, smallest inputs first; empty unless PASSED.
        speedup: Geometric mean over the workloads against the fastest baseline of each; None
            unless PASSED.
        seed_speedup: The same for the seed, over the workloads where it is right; None without.
        failed_baselines: Workload -> baseline -> why it could not be measured.
        details: Further JSON-able facts (device, versions, threads, state policy).
    """

    outcome: Outcome
    diagnostics: str = ""
    checks_passed: int = 0
    checks_total: int = 0
    workloads: tuple[WorkloadReport, ...] = ()
    speedup: Speedup | None = None
    seed_speedup: Speedup | None = None
    failed_baselines: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the champion holds."""
        return self.outcome is Outcome.PASSED
