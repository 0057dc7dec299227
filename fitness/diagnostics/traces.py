"""The torch profiler's record as counters, where Nsight Compute does not run.

Two forms: what a judge keeps of a profile (`fitness.profile.own_share`), and the trace that
`torch.profiler` exports for Chrome, whose kernels carry registers, shared memory and an estimate of
the occupancy reached.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

_NAME_LENGTH = 80
_TOO_LARGE = 1e18


def of_share(facts: Mapping[str, Any], call_ms: float | None = None) -> dict[str, Any]:
    """Counters from the facts of `own_share` on CUDA.

    Args:
        facts: One workload's.
        call_ms: What a call takes by the judge's timing; None when not timed.
    """
    kernels = [
        (str(k[0]), us)
        for k in facts.get("kernels") or ()
        if isinstance(k, list | tuple) and len(k) == 3 and (us := _number(k[2])) is not None
    ]
    if not kernels:
        return {}
    launches = sum(_number(facts.get(f"{c}_launches")) or 0.0 for c in ("own", "library", "torch"))
    found: dict[str, Any] = {
        "kernel": kernels[0][0][:_NAME_LENGTH],
        # The longest eight: what is behind them is little.
        "device_us": sum(us for _, us in kernels),
        "launches": launches,
    }
    return found if call_ms is None else {**found, "call_us": call_ms * 1e3}


def of_trace(trace: Mapping[str, Any], calls: int, call_ms: float | None = None) -> dict[str, Any]:
    """Counters from a Chrome trace of the torch profiler.

    Args:
        trace: The parsed JSON.
        calls: Calls of the model within it.
        call_ms: What a call takes by the judge's timing; None when not timed.
    """
    total: dict[str, float] = defaultdict(float)
    details: dict[str, Mapping[str, Any]] = {}
    count = 0
    events = trace.get("traceEvents")
    for event in events if isinstance(events, list) else ():
        if not isinstance(event, Mapping) or event.get("cat") not in ("kernel", "Kernel"):
            continue
        duration = _number(event.get("dur"))
        if duration is None:
            continue
        name, count = str(event.get("name")), count + 1
        total[name] += duration
        arguments = event.get("args")
        details[name] = arguments if isinstance(arguments, Mapping) else {}
    if not total:
        return {}
    longest = max(total, key=lambda name: total[name])
    own = details[longest]
    found: dict[str, Any] = {
        "kernel": longest[:_NAME_LENGTH],
        "device_us": sum(total.values()) / max(calls, 1),
        "launches": count / max(calls, 1),
        "registers": _number(own.get("registers per thread")),
        "shared_bytes": _number(own.get("shared memory")),
        "waves": _number(own.get("blocks per SM")),
    }
    # It is the occupancy that the launch would allow if the grid were large enough, at most.
    percent = _number(own.get("est. achieved occupancy %"))
    if percent:
        found["occupancy"] = percent / 100
    found["waves"] = None if found["waves"] is None or found["waves"] >= 1 else found["waves"]
    if call_ms is not None:
        found["call_us"] = call_ms * 1e3
    return {key: value for key, value in found.items() if value is not None}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _TOO_LARGE else None
