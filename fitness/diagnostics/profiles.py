"""An elite's profile: what torch's profiler saw, condensed to counters, and those as lines.

Nsight Compute would tell more, but talks to the profiled process through sockets, which the
confinement refuses, and a candidate runs nowhere else. Triton's proton takes its times from where
torch's profiler has them (CUPTI). So of a device's units there are no figures; how busy they are
follows from the bytes and operations that the workload needs (`fitness.roofline`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fitness.diagnostics import traces
from populations.outcome import Timing

CLASSES = ("own", "library", "torch")
_SHOWN = 4
_NAME_LENGTH = 60
_OF_THE_LONGEST = ("registers", "shared_bytes", "waves")
_RATES = (("bytes", "B/s"), ("flops", "FLOP/s"))


def counters(
    facts: Mapping[str, Any],
    timing: Timing,
    *,
    device: str,
    unheld_ms: float | None = None,
    warm: bool = False,
) -> dict[str, Any]:
    """Condense the profile of one call.

    Args:
        facts: What `fitness.profile.own_share` answered; `trace` and all names are a candidate's
            word.
        timing: Of the workload that was profiled.
        device: "cpu" or "cuda".
        unheld_ms: On CUDA, what a call takes where nobody holds the device back meanwhile.
        warm: Whether that is what counts as the workload's time.

    Returns:
        JSON-able counters of `fitness.diagnostics.bottleneck`; `workload`, and `timed_us`, what a
        call takes by the judge's clock; `kernels`, the longest as name, class, microseconds.
        `reason` alone where nothing was seen.
    """
    ran = list(_kernels(facts))
    if facts.get("own_share") is None or not ran:
        return {"reason": _plain(facts.get("reason") or "nothing was seen to run", 200)}
    timed_us = timing.candidate_ms * 1e3
    found: dict[str, Any] = {
        "workload": timing.workload,
        "timed_us": round(timed_us, 3),
        "kernels": [list(kernel) for kernel in ran[:_SHOWN]],
        **{f"{name}_share": facts.get(f"{name}_share") for name in CLASSES},
        "launches": sum(_number(facts.get(f"{name}_launches")) for name in CLASSES),
    }
    busy_us = round(sum(us for *_, us in ran), 3)
    if device == "cpu":
        return {**found, "call_us": round(timed_us, 3), "busy_us": busy_us}
    # A kernel is profiled with a warm cache and timed with a cold one: only where the judge's
    # clock ran without a flush too may the two be held against each other.
    found |= {"kernel": ran[0][0], "device_us": busy_us}
    if warm:
        found["call_us"] = round(timed_us, 3)
    elif unheld_ms:
        found["unheld_us"] = round(unheld_ms * 1e3, 3)
    seen = traces.of_trace(trace if isinstance(trace := facts.get("trace"), Mapping) else {}, 1)
    found |= {name: seen[name] for name in _OF_THE_LONGEST if name in seen}
    if "occupancy" in seen:
        found["reached_occupancy"] = seen["occupancy"]
    return found


def lines(counters: Mapping[str, Any], roofline: Mapping[str, Any]) -> list[str]:
    """A profile in a few lines.

    Args:
        counters: As `counters` makes them, or anything.
        roofline: An evaluation's `roofline`: workload -> facts.
    """
    shares = [(name, counters.get(f"{name}_share")) for name in CLASSES]
    told = ", ".join(f"{name} {s:.0%}" for name, s in shares if isinstance(s, int | float))
    ran = list(_kernels(counters))
    if not told or not ran:
        return []
    workload = _plain(counters.get("workload"), _NAME_LENGTH)
    on_device = "device_us" in counters
    cold = on_device and "call_us" not in counters
    found = [
        f"profile of a call on {workload}: {told} of {_us(counters, 'device_us', 'busy_us')}, "
        f"{_number(counters.get('launches')):.3g} {'launches' if on_device else 'operators'}; "
        f"timed {'with a cold cache ' if cold else ''}it takes {_us(counters, 'timed_us')}"
    ]
    found += [f"  {us:.3g} us {whose}: {name}" for name, whose, us in ran[:_SHOWN]]
    if of_longest := _of_the_longest(counters):
        found.append(f"  the longest: {of_longest}")
    facts = roofline.get(str(counters.get("workload")))
    if rates := ", ".join(_rates(facts if isinstance(facts, Mapping) else {})):
        found.append(f"  achieved at least {rates} that this device reached at best")
    return found


def _of_the_longest(counters: Mapping[str, Any]) -> str:
    parts = []
    for name, text in (("registers", "registers"), ("shared_bytes", "B shared memory")):
        if isinstance(counters.get(name), int | float):
            parts.append(f"{counters[name]:.0f} {text}")
    if occupancy := _number(counters.get("reached_occupancy")):
        parts.append(f"about {occupancy:.0%} occupancy")
    return ", ".join(parts)


def _rates(facts: Mapping[str, Any]) -> Iterator[str]:
    for name, unit in _RATES:
        now, most = _number(facts.get(f"{name}_per_s")), _number(facts.get(f"most_{name}_per_s"))
        if now and most:
            prefix, factor = ("T", 1e12) if most >= 1e12 else ("G", 1e9)
            yield f"{now / factor:.3g} of {most / factor:.3g} {prefix}{unit}"


def _kernels(facts: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Name, class and microseconds a call of what ran longest; the name is a candidate's."""
    given = facts.get("kernels")
    for item in given if isinstance(given, Sequence) and not isinstance(given, str) else ():
        if isinstance(item, list | tuple) and len(item) == 3 and item[1] in CLASSES:
            yield _plain(item[0], _NAME_LENGTH), str(item[1]), _number(item[2])


def _us(counters: Mapping[str, Any], *names: str) -> str:
    return f"{next((_number(counters[name]) for name in names if name in counters), 0.0):.4g} us"


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value < 1e18 else 0.0


def _plain(text: Any, length: int) -> str:
    """A candidate's word as part of one line."""
    kept = "".join(c if c.isprintable() else " " for c in str(text)[: 4 * length])
    return " ".join(kept.split())[:length]
