"""From counters to one class of bottleneck: a pure function with its thresholds in sight.

Counters come from Nsight Compute, from the torch profiler, from the compiler or from the judge's
own timings; each may be missing. Keys:

    call_us, device_us, launches        of one call: as timed, within kernels, kernels launched
    busy_us                             on the CPU: within own functions and torch's operators
    unheld_us                           on CUDA: where the host does not launch ahead
    own_share, library_share, torch_share    whose work that is, 0..1
    kernel, duration_us                 the kernel that takes longest, and how long it takes
    sm_pct, memory_pct, dram_pct, l2_pct, l1_pct, tensor_pct    throughputs, per cent of the peak
    occupancy, theoretical_occupancy    resident warps over the most there can be, 0..1
    limited_by                          what keeps out the next block
    waves                               blocks over those that are resident at once
    registers, spills                   of a thread: registers, 32-bit words spilled
    instructions, local_instructions    executed, and those of them that load or store spills
    load_efficiency_pct                 used part of the bytes that global loads fetch
    stalls                              reason -> warps stalled for it per issued instruction
    roofline_share, bound               as the judge computed it, 0..1; "memory" or "compute"
    scalar_loops, vector_loops          of C++: innermost loops left scalar, vectorised
    ordered_sums, stack                 of those: sums in order; vector accesses to the stack
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Counters = Mapping[str, Any]
# A unit this busy has little left to give (Nsight Compute's own rules say 60% to 80%).
BUSY_PCT = 60.0
# Share of a call in which no kernel runs.
IDLE = 0.35
# A kernel of this length costs as much as launching it.
SHORT_US = 4.0
# Share of executed instructions that serve spills.
LOCAL = 0.05
# Spilled words a thread, when only the compiler is known.
SPILLED = 8
LOW_OCCUPANCY = 0.25
# Of the measured ceiling, as of a unit.
NEAR_ROOF = BUSY_PCT / 100
# Share of the time in somebody else's code that is worth telling.
_ELSEWHERE = 0.4
_TENSOR_PCT = 25.0
_TOO_LARGE = 1e18
_STALLS_SHOWN = 3
_USES_TENSOR_CORES = ("wgmma", "tcgen05")


class Kind(StrEnum):
    """What a kernel waits for."""

    MEMORY = "memory"
    COMPUTE = "compute"
    LATENCY = "latency"
    LAUNCH = "launch"
    SPILLING = "spilling"
    OCCUPANCY = "occupancy"
    SCALAR = "scalar"  # on the CPU: code that does not use vectors
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """The diagnosis.

    Attributes:
        kind: The class.
        evidence: Sentences with the numbers that decided, and what else stands out.
        share: Of the roofline, 0..1; None when not known.
    """

    kind: Kind
    evidence: tuple[str, ...]
    share: float | None = None

    def to_json(self) -> dict[str, Any]:
        """For an evaluation's details."""
        return {"kind": str(self.kind), "evidence": list(self.evidence), "share": self.share}


def classify(counters: Counters) -> Bottleneck:
    """Name the bottleneck. The first rule that its counters fulfil decides; others may be missing.

    Args:
        counters: See the module; what is missing or no number is not used.
    """
    known = _Known(counters)
    rules: tuple[tuple[Kind, Callable[[_Known], str]], ...] = (
        (Kind.LAUNCH, _launch),
        (Kind.SPILLING, _spilling),
        (Kind.MEMORY, _memory),
        (Kind.COMPUTE, _compute),
        (Kind.SPILLING, _spilled),
        (Kind.OCCUPANCY, _occupancy),
        (Kind.LATENCY, _latency),
        (Kind.SCALAR, _scalar),
    )
    share = known.number("roofline_share")
    for kind, rule in rules:
        if text := rule(known):
            return Bottleneck(kind, (text, *_beside(known, kind)), share)
    return Bottleneck(Kind.UNKNOWN, tuple(_beside(known, Kind.UNKNOWN)), share)


class _Known:
    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def number(self, name: str) -> float | None:
        value = self._counters.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if 0 <= value < _TOO_LARGE else None

    def least(self, name: str, least: float) -> float | None:
        """The number if it is at least so much."""
        value = self.number(name)
        return value if value is not None and value >= least else None

    def word(self, name: str) -> str:
        value = self._counters.get(name)
        return value if isinstance(value, str) else ""

    @property
    def names(self) -> Sequence[str]:
        return [str(name) for name in self._counters]

    @property
    def tensor_cores(self) -> bool:
        used = any(self.number(name) for name in _USES_TENSOR_CORES)
        return used or self.least("tensor_pct", _TENSOR_PCT) is not None

    def stalls(self) -> Sequence[tuple[str, float]]:
        """Reasons with the share of waiting that each has, the longest first."""
        given = self._counters.get("stalls")
        numbers = _Known(given if isinstance(given, Mapping) else {})
        found = {name: numbers.number(name) or 0.0 for name in numbers.names}
        # A warp that waits for its turn, or is issuing, waits for nothing.
        found = {n: v for n, v in found.items() if n not in ("selected", "not_selected")}
        total = sum(found.values())
        ranked = sorted(found.items(), key=lambda item: -item[1])
        return [(n, v / total) for n, v in ranked[:_STALLS_SHOWN] if v] if total else []


def _launch(known: _Known) -> str:
    call, device = known.number("call_us"), known.number("device_us")
    launches = known.number("launches")
    of = f" of {launches:.3g} kernels" if launches else ""
    if call and device is not None and 1 - device / call >= IDLE:
        return f"a call takes {call:.3g} us, of which{of or ' kernels'} only {device:.3g} us run"
    if device and launches and launches >= 3 and device / launches < SHORT_US:
        each = device / launches
        return f"{launches:.3g} kernels a call of {each:.2g} us each: launching takes as long"
    busy = known.number("busy_us")
    if call and busy is not None and 1 - busy / call >= IDLE:
        within = f"its functions and torch's operators take only {busy:.3g} us"
        return f"of a call's {call:.3g} us {within}: the rest is Python and calling them"
    duration = known.number("duration_us")
    if duration and duration < SHORT_US and (launches or 1) <= 2:
        return f"the kernel takes {duration:.2g} us, hardly longer than launching it"
    return ""


def _spilling(known: _Known) -> str:
    total, local = known.number("instructions"), known.number("local_instructions")
    if not total or local is None or local / total < LOCAL:
        return ""
    registers = known.number("registers")
    of = f" with {registers:.0f} registers a thread" if registers else ""
    return f"{local / total:.0%} of the instructions load or store spilled values{of}"


def _memory(known: _Known) -> str:
    sm = known.number("sm_pct") or 0.0
    levels = (("device memory", "dram_pct"), ("L2", "l2_pct"), ("L1 and shared memory", "l1_pct"))
    rates = [(known.number(key) or 0.0, name) for name, key in levels]
    rate, name = max(rates, key=lambda r: r[0])
    memory = known.number("memory_pct") or 0.0
    if memory > rate:
        rate, name = memory, "memory"
    if rate >= BUSY_PCT and rate >= sm:
        return f"{name} is {rate:.0f}% busy, the multiprocessors {sm:.0f}%"
    share = known.least("roofline_share", NEAR_ROOF)
    if share and known.word("bound") == "memory":
        return f"at {share:.0%} of what the memory can deliver"
    return ""


def _compute(known: _Known) -> str:
    sm, tensor = known.least("sm_pct", BUSY_PCT), known.least("tensor_pct", BUSY_PCT)
    if tensor:
        return f"the tensor cores are {tensor:.0f}% busy"
    if sm:
        idle = known.number("tensor_pct")
        cores = f", the tensor cores {idle:.0f}%" if idle is not None else ""
        return f"the multiprocessors are {sm:.0f}% busy{cores}"
    share = known.least("roofline_share", NEAR_ROOF)
    if share and known.word("bound") == "compute":
        return f"at {share:.0%} of the arithmetic that the device was seen to do"
    return ""


def _spilled(known: _Known) -> str:
    if spills := known.least("spills", SPILLED):
        registers = known.number("registers")
        beside = f" beside {registers:.0f} registers" if registers else ""
        return f"{spills:.0f} words of each thread are spilled{beside}"
    if stack := known.least("stack", SPILLED):
        return f"{stack:.0f} vector accesses to the stack within innermost loops"
    return ""


def _occupancy(known: _Known) -> str:
    waves = known.number("waves")
    if waves is not None and 0 < waves < 0.7:
        return f"the grid fills {waves:.0%} of the multiprocessors' room: too few blocks"
    full = known.number("theoretical_occupancy")
    by = known.word("limited_by")
    if full is not None and full <= LOW_OCCUPANCY and not known.tensor_cores:
        reached = known.number("occupancy")
        now = f", {reached:.0%} reached" if reached is not None else ""
        return f"at most {full:.0%} of the warps fit{f' because of {by}' if by else ''}{now}"
    return ""


def _latency(known: _Known) -> str:
    sm, memory = known.number("sm_pct"), known.number("memory_pct")
    memory = memory if memory is not None else known.number("dram_pct")
    if sm is None or memory is None:
        return ""
    text = f"nothing is busy: multiprocessors {sm:.0f}%, memory {memory:.0f}%"
    stalls = ", ".join(f"{_plain(name)} {share:.0%}" for name, share in known.stalls())
    return f"{text}; warps wait for {stalls}" if stalls else text


def _scalar(known: _Known) -> str:
    scalar = known.least("scalar_loops", 1)
    vector = known.number("vector_loops")
    if scalar and not vector:
        return f"none of the {scalar:.0f} innermost loops became vector code"
    if sums := known.least("ordered_sums", 1):
        loops = "a loop adds its sum" if sums == 1 else f"{sums:.0f} loops add their sums"
        return f"{loops} in order, one element after the other"
    return ""


def _beside(known: _Known, kind: Kind) -> list[str]:
    """What else stands out, whatever the class."""
    found = []
    own, share = known.number("own_share"), known.number("roofline_share")
    if kind is Kind.UNKNOWN and own is not None and share is not None and known.word("bound"):
        found.append(
            f"at {share:.0%} of the roofline, whose side here is {known.word('bound')}; nothing "
            "that was counted tells what else it waits for"
        )
    for name, text in (("library_share", "in libraries"), ("torch_share", "in torch's operators")):
        if own is not None and (other := known.least(name, _ELSEWHERE)):
            found.append(f"{other:.0%} of the time is spent {text}, {own:.0%} in its own code")
    unheld, device = known.number("unheld_us"), known.number("device_us")
    if unheld and device is not None and (idle := 1 - device / unheld) >= IDLE:
        found.append(
            f"where the host does not launch ahead, a call takes {unheld:.3g} us and the device "
            f"idles for {idle:.0%} of it"
        )
    efficiency = known.number("load_efficiency_pct")
    if efficiency is not None and efficiency < 60:
        found.append(f"global loads use {efficiency:.0f}% of the bytes they fetch (coalescing)")
    local = (known.number("local_instructions") or 0.0) + (known.number("spills") or 0.0)
    if local and kind is not Kind.SPILLING:
        found.append("registers are spilled")
    waves = known.number("waves")
    if waves is not None and 1.0 < waves < 4.0 and waves - math.floor(waves) < 0.5:
        last = waves - math.floor(waves)
        if last:
            found.append(f"{waves:.2g} waves of blocks: the last one fills {last:.0%}")
    return found


def _plain(stall: str) -> str:
    """A stall's reason in words."""
    return {
        "long_scoreboard": "global or local memory",
        "short_scoreboard": "shared memory",
        "barrier": "barriers",
        "math_pipe_throttle": "arithmetic pipes",
        "mio_throttle": "the shared-memory queue",
        "lg_throttle": "the global-memory queue",
        "tex_throttle": "the texture queue",
        "wait": "fixed latencies",
        "no_instruction": "instructions",
        "branch_resolving": "branches",
        "drain": "stores to drain",
        "gmma": "tensor cores",
        "membar": "memory fences",
    }.get(stall, stall.replace("_", " "))
