"""From paired samples to a speedup with its interval. Pure functions, no randomness.

Every measurement is a list of log ratios, ln(baseline time / candidate time), one per pair of
batches that ran next to each other: drift of the machine cancels within a pair, and the median
ignores the pairs that a neighbour disturbed.

What does not cancel, and no number of pairs shows, is the luck of a process: at which addresses its
memory lies decides which of it share a set of a cache, for as long as the process lives. It is
measured by timing new processes of one kernel against each other (`python -m benchmarks aa`), and
`luck` is the component of the interval that stands for it. On an H200 calls of 4.4, 6.4 and 98 us
came out with standard deviations of a ratio of 2.0%, 2.4% and 0.15%.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from populations.outcome import Speedup

CONFIDENCE = 0.95
# Device -> (milliseconds of a call at most, half-width of the 95% interval in logarithms): what two
# processes of one kernel differ by. Short calls live in the near caches, where placement matters
# most, and come near the resolution of a device's events.
_LUCK = {
    "cpu": ((0.1, 0.025), (math.inf, 0.01)),
}
# On CUDA two processes differ by 0.1 us a call (standard deviation), whatever a call takes: events
# are that coarse. The share of a long call, for its memory, is assumed: calls of more than 0.1 ms
# were not timed against themselves.
_CUDA_MS = 1.96 * math.sqrt(2) * 1e-4
_CUDA_SHARE = 0.002
# How quickly two processes launch, on processors of their own.
_HOST_BOUND = 0.25


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the middle two. `values` must not be empty."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


@lru_cache(maxsize=1024)
def interval_ranks(count: int) -> tuple[int, int]:
    """Ranks (from 0) of the ordered samples that bound the median with 95% confidence.

    The interval between the k-th smallest and the k-th largest of n samples misses the median with
    probability 2 P(Binomial(n, 1/2) < k), whatever the samples' distribution. Below 6 samples no
    pair of ranks reaches 95%; the extremes are returned then (5 samples: 93.75%).
    """
    if count < 1:
        raise ValueError(f"need at least one sample, but got {count=}")
    # tail counts outcomes of n fair coins with at most `rank` heads.
    allowed = (1 - CONFIDENCE) / 2 * 2**count
    tail, rank = 0.0, 0
    while (tail := tail + math.comb(count, rank)) <= allowed:
        rank += 1
    lower = max(rank - 1, 0)
    return lower, count - 1 - lower


def log_interval(log_ratios: Sequence[float]) -> tuple[float, float, float]:
    """Median of log ratios with its 95% order-statistic interval: (low, median, high)."""
    ordered = sorted(log_ratios)
    lower, upper = interval_ranks(len(ordered))
    return ordered[lower], median(ordered), ordered[upper]


def luck(device: str, call_ms: float, *, host_bound: bool = False) -> float:
    """Half-width, in logarithms, of what two processes of one kernel differ by.

    Args:
        device: "cpu" or "cuda"; 0 for anything else.
        call_ms: What one call takes.
        host_bound: Whether that is the host's time to launch it.
    """
    if device == "cuda":
        return _HOST_BOUND if host_bound else math.hypot(_CUDA_MS / call_ms, _CUDA_SHARE)
    return next((width for limit_ms, width in _LUCK.get(device, ()) if call_ms <= limit_ms), 0.0)


def speedup(log_ratios: Sequence[float], *, luck: float = 0.0) -> Speedup:
    """Median of the paired ratios with its 95% interval.

    Args:
        log_ratios: From one pair of processes.
        luck: Half-width of a further, independent error (`luck`), added in quadrature.
    """
    low, middle, high = log_interval(log_ratios)
    return _from_logs(middle, math.hypot(middle - low, luck), math.hypot(high - middle, luck))


def geometric_mean(speedups: Sequence[Speedup]) -> Speedup:
    """Geometric mean of independent speedups.

    The interval's half-widths (in logarithms, each side for itself) add in quadrature, as those of
    a mean of independent quantities do.
    """
    count = len(speedups)
    if not count:
        raise ValueError("need at least one speedup")
    middle = sum(s.log for s in speedups) / count
    below = math.sqrt(sum((s.log - math.log(s.low)) ** 2 for s in speedups)) / count
    above = math.sqrt(sum((math.log(s.high) - s.log) ** 2 for s in speedups)) / count
    return _from_logs(middle, below, above)


def _from_logs(middle: float, below: float, above: float) -> Speedup:
    value = math.exp(middle)
    # exp rounds: the interval must hold the value also when it has no width.
    return Speedup(
        value, min(value, math.exp(middle - below)), max(value, math.exp(middle + above))
    )


def spread(log_ratios: Sequence[float]) -> float:
    """Half the width of the 95% interval of the median, as a relative difference (0.01 is 1%)."""
    low, _, high = log_interval(log_ratios)
    return math.expm1((high - low) / 2)
