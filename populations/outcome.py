"""How an evaluation ended, and what it measured.

`Outcome` names the stage that decided; `Evaluation` is the whole record. Timings exist only for a
candidate that passed every check: there is no number that stands for "failed".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """The stage that ended a candidate's evaluation, in the order the stages run."""

    REJECTED = "rejected"  # the static gate refused the source
    COMPILE_ERROR = "compile_error"  # a toolchain refused the source
    RUNTIME_ERROR = "runtime_error"  # raised, crashed, or broke a resource limit
    TIMEOUT = "timeout"  # its process group was killed at the time limit
    WRONG_SHAPE = "wrong_shape"
    WRONG_DTYPE = "wrong_dtype"
    WRONG_VALUES = "wrong_values"
    CHEATED = "cheated"  # the numbers contradict each other
    PASSED = "passed"


@dataclass(frozen=True, slots=True)
class Speedup:
    """A ratio of times, baseline over candidate, with its 95% confidence interval.

    All three are ratios (1.0 is "as fast as"), greater is faster.
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0.0 < self.low <= self.value <= self.high < math.inf:
            raise ValueError(f"need 0 < low <= value <= high, but got {self}")

    @property
    def log(self) -> float:
        """Natural logarithm of the ratio: 0 is "as fast as", greater is faster."""
        return math.log(self.value)


@dataclass(frozen=True, slots=True)
class Timing:
    """One workload's paired measurement of a candidate against one baseline.

    Attributes:
        workload: Name of the workload.
        baseline: Name of the baseline it was paired with (the fastest known one).
        candidate_ms: Median time of one call of the candidate, milliseconds.
        baseline_ms: Median time of one call of the baseline, milliseconds.
        speedup: Median of the paired ratios and its interval.
        log_ratios: The raw paired samples, ln(baseline time / candidate time), in order.
    """

    workload: str
    baseline: str
    candidate_ms: float
    baseline_ms: float
    speedup: Speedup
    log_ratios: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything one evaluation of one candidate produced.

    Attributes:
        outcome: The stage that decided.
        checks_passed: Correctness checks passed, 0..checks_total.
        checks_total: Checks that a right candidate passes; 0 when none was reached.
        diagnostics: Text for people and for the next operator: compiler message, where the
            mismatch sits, error beside the reference's own. Empty when there is nothing to say.
        timings: One entry per timed workload; non-empty exactly when `outcome` is PASSED.
        speedup: Geometric mean over `timings` with its interval; present exactly when PASSED.
        build_s: Seconds spent compiling.
        run_s: Seconds from the start of the runner to its end.
        device_s: Seconds the device lease was held for timing.
        details: Further JSON-able facts (state policy used, sandbox layers, mismatch location).
    """

    outcome: Outcome
    checks_passed: int = 0
    checks_total: int = 0
    diagnostics: str = ""
    timings: tuple[Timing, ...] = ()
    speedup: Speedup | None = None
    build_s: float = 0.0
    run_s: float = 0.0
    device_s: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        passed = self.outcome is Outcome.PASSED
        if passed != bool(self.timings) or passed != (self.speedup is not None):
            raise ValueError(
                f"timings and speedup belong to PASSED alone, but got {self.outcome} "
                f"with {len(self.timings)} timings and speedup={self.speedup}"
            )
        if not 0 <= self.checks_passed <= self.checks_total:
            raise ValueError(
                f"need 0 <= checks_passed <= checks_total, but got "
                f"{self.checks_passed} of {self.checks_total}"
            )

    @property
    def passed(self) -> bool:
        """Whether the candidate passed every check and was timed."""
        return self.outcome is Outcome.PASSED

    @property
    def share_passed(self) -> float:
        """Share of correctness checks passed, 0..1; 0 when none was reached."""
        return self.checks_passed / self.checks_total if self.checks_total else 0.0
