"""Several measurements of one kernel as one: what to believe when it was measured again.

Each measurement is an estimate with an interval of its own. Combining them as a meta-analysis does
its studies, by random effects, lets the variance between measurements count beside the variance
within: a machine has good and bad minutes that no interval of one measurement shows. Samples of two
such minutes, put together, would pass for twice as many independent ones.

The variance between is that of DerSimonian and Laird, "Meta-analysis in clinical trials" (1986),
zero where the measurements agree as well as their intervals say. It is estimated from two or three
of them, so the interval takes Student's quantile instead of the normal one (Hartung and Knapp 2001
for the idea). With one degree of freedom per further measurement alone it would say nothing; that
the intervals of single measurements are about right, which `python -m benchmarks aa` looks after,
counts as `_KNOWN` degrees more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from populations.outcome import Evaluation, Speedup, Timing

# The normal distribution's, for intervals of 95%.
_Z = 1.959964
# What is known of the machine before a kernel is measured again, in degrees of freedom.
_KNOWN = 3
# No measurement is taken to be more precise than this, in logarithms.
_LEAST = 1e-4


def combine(measurements: Sequence[Speedup]) -> Speedup:
    """One estimate with a 95% interval of several; one alone stays as it is.

    Where they differ by more than their intervals say, the wide ones count nearly as much as the
    narrow ones, and the interval tells of the difference.
    """
    if len(measurements) == 1:
        return measurements[0]
    logs = [measurement.log for measurement in measurements]
    variances = [_variance(measurement) for measurement in measurements]
    between = _between(logs, variances)
    weights = [1 / (variance + between) for variance in variances]
    centre = _mean(logs, weights)
    half = _quantile(_KNOWN + len(logs) - 1) / math.sqrt(math.fsum(weights))
    return Speedup(math.exp(centre), math.exp(centre - half), math.exp(centre + half))


def pool(evaluations: Sequence[Evaluation]) -> Evaluation:
    """What several evaluations of one kernel, in the order made, say together.

    The overall speedup is combined from the overall speedups and each workload's from its own: what
    disturbs one workload of a measurement disturbs the others too, so the workloads' intervals
    cannot make up the overall one. Seconds add up. A kernel that failed once has failed: the first
    failure stands.

    Returns:
        One evaluation; `details["measurements"]` holds the overall speedup of each, with the ends
        of its interval.
    """
    first = evaluations[0]
    if len(evaluations) == 1:
        return first
    totals: dict[str, Any] = {
        name: math.fsum(getattr(evaluation, name) for evaluation in evaluations)
        for name in ("build_s", "run_s", "device_s")
    }
    if (failed := next((e for e in evaluations if not e.passed), None)) is not None:
        return replace(failed, **totals)
    speedups = [evaluation.speedup for evaluation in evaluations if evaluation.speedup]
    measured = [[speedup.value, speedup.low, speedup.high] for speedup in speedups]
    return replace(
        first,
        timings=tuple(_timing(timing, evaluations) for timing in first.timings),
        speedup=combine(speedups),
        details={**first.details, **_profiled(evaluations), "measurements": measured},
        **totals,
    )


def _profiled(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """What was found out about a kernel when it was profiled, which need not have been at first."""
    for each in evaluations:
        known = each.details.get("diagnostics")
        if isinstance(known, Mapping) and "profiled" in known:
            # What policies sort by stays what it was.
            before = evaluations[0].details.get("diagnostics")
            added = {name: known.get(name) for name in ("counters", "profiled")}
            found = {**(before if isinstance(before, Mapping) else {}), **added}
            return {"diagnostics": found, "diagnosis": each.details.get("diagnosis", [])}
    return {}


def measurements(evaluation: Evaluation) -> int:
    """How many measurements an evaluation was pooled from; 1 for one that was not."""
    found = evaluation.details.get("measurements")
    return len(found) if found else 1


def _timing(first: Timing, evaluations: Sequence[Evaluation]) -> Timing:
    """One workload's measurements as one; its times are the geometric means."""
    same = [t for e in evaluations for t in e.timings if t.workload == first.workload]
    return Timing(
        workload=first.workload,
        baseline=first.baseline,
        candidate_ms=math.exp(math.fsum(math.log(t.candidate_ms) for t in same) / len(same)),
        baseline_ms=math.exp(math.fsum(math.log(t.baseline_ms) for t in same) / len(same)),
        speedup=combine([t.speedup for t in same]),
        log_ratios=tuple(sample for t in same for sample in t.log_ratios),
    )


def _variance(measurement: Speedup) -> float:
    half = math.log(measurement.high / measurement.low) / 2
    return max(half / _Z, _LEAST) ** 2


def _between(logs: Sequence[float], variances: Sequence[float]) -> float:
    """The variance between measurements: DerSimonian and Laird's estimate by moments."""
    weights = [1 / variance for variance in variances]
    centre = _mean(logs, weights)
    spread = math.fsum(w * (y - centre) ** 2 for w, y in zip(weights, logs, strict=True))
    total = math.fsum(weights)
    scale = total - math.fsum(w * w for w in weights) / total
    return max(0.0, (spread - (len(logs) - 1)) / scale)


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    weighted = math.fsum(v * w for v, w in zip(values, weights, strict=True))
    return weighted / math.fsum(weights)


def _quantile(degrees: int) -> float:
    """Student's 97.5% quantile from 4 degrees of freedom on, to 0.3% (Fisher and Cornish 1960)."""
    z, n = _Z, degrees
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )
