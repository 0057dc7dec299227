"""No kernel is faster than the device: what a workload must move and compute, over what it can.

The floor of a workload is the time that its bytes and operations take at the best rates this
device was ever seen to reach (`fitness.ceilings`). A candidate faster than the floor did not do
the work inside the timed window, whatever its output says (row C15 of docs/trust.md). The floor
is there to be certain, not to be close:

- bytes are those of the problem's `get_cost`, which are to be the fewest that have to be moved.
  Without it they are the outputs' and of the inputs only those elements for which the reference's
  gradient is not zero; nothing, when an output is a view of an input, which moves nothing;
- a byte counts with the speed of the nearest level of memory that it may have lain in: with a
  warm cache only what does not fit into a level comes from behind it, with a cold one reads come
  from memory, and writes may stay in the last cache;
- a faster algorithm than the definition's may need fewer operations (Winograd's convolution a
  quarter): `ALGORITHM` times fewer are allowed. float32 counts with the rate of TF32;
- the rates are taken `MARGIN` times higher than ever measured, the shortest launch `LAUNCH` times
  shorter, and all of them are measured again before a candidate is accused;
- where one of our own baselines is faster than the floor, the floor is wrong and not used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fitness.ceilings import Ceilings, kept, measured

if TYPE_CHECKING:
    from fitness.problem import Problem
    from fitness.spec import EvaluationSpec
    from populations.outcome import Timing

# Boost clocks, and neighbours while the ceilings were measured, on a processor that is shared.
MARGIN = {"cpu": 1.5, "cuda": 1.25}
# The smallest kernels are near the resolution of an event.
LAUNCH = 2.0
# How many times fewer operations than the definition an honest algorithm may need.
ALGORITHM = 4.0
# Rates of these dtypes bound the one named: split into pieces, a product of float32 is three.
_AS_FAST = {
    "float32": ("float32", "tf32"),
    "float16": ("float16", "bfloat16", "float32"),
    "bfloat16": ("float16", "bfloat16", "float32"),
    "float64": ("float64",),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call must do at least.

    Attributes:
        read_bytes: Bytes of inputs and state that must be read.
        written_bytes: Bytes of outputs that must be written.
        flops: Floating-point operations of the definition; 0 when they are not known.
        dtype: Dtype of the arithmetic; empty when unknown, and then `flops` is not used.
        source: Where it is from: "get_cost", "gradient" or "outputs".
    """

    read_bytes: float
    written_bytes: float
    flops: float = 0.0
    dtype: str = ""
    source: str = "get_cost"


@dataclass(frozen=True, slots=True)
class Floor:
    """The floor of one workload.

    Attributes:
        roofline_ms: What it takes at the measured ceilings: 100% of the roofline.
        limit_ms: Faster than this is impossible; margins are in it.
        arithmetic: How the limit comes about, for people.
        source: `Cost.source`.
        bound: Which side of the roofline it is: "memory", "compute" or "launch".
        cost: What must be moved and computed; None where it is not told.
        memory_ms: What moving it takes at the measured ceilings.
        compute_ms: What computing it takes at them.
    """

    roofline_ms: float
    limit_ms: float
    arithmetic: str
    source: str
    bound: str
    cost: Cost | None = None
    memory_ms: float = 0.0
    compute_ms: float = 0.0

    def facts(self, candidate_ms: float) -> dict[str, Any]:
        """JSON-able: the floor, and the share of the roofline that a candidate reaches.

        Beside it the rates that it reaches at least, and the most there could be.
        """
        rates: dict[str, float] = {}
        cost = self.cost or Cost(0.0, 0.0)
        for name, amount, least_ms in (
            ("bytes_per_s", cost.read_bytes + cost.written_bytes, self.memory_ms),
            ("flops_per_s", cost.flops, self.compute_ms),
        ):
            if amount and least_ms:
                rates[name] = float(f"{amount / candidate_ms * 1e3:.5g}")
                rates[f"most_{name}"] = float(f"{amount / least_ms * 1e3:.5g}")
        return {
            "roofline_ms": self.roofline_ms,
            "limit_ms": self.limit_ms,
            "share": self.roofline_ms / candidate_ms,
            "bound": self.bound,
            "cost": self.source,
            **rates,
        }


def check(timings: Sequence[Timing], floors: Mapping[str, Floor]) -> str:
    """Say which timing is faster than its floor, with the arithmetic; "" when none is.

    Args:
        timings: Of one candidate; a workload without a floor is passed over, and so is one whose
            baseline, which is ours, is faster than the floor too.
        floors: Workload -> floor.
    """
    for timing in timings:
        floor = floors.get(timing.workload)
        if floor and timing.candidate_ms < floor.limit_ms <= timing.baseline_ms:
            return (
                f"workload {timing.workload!r}: {timing.candidate_ms:.3g} ms per call is faster "
                f"than this device can be: {floor.arithmetic}"
            )
    return ""


def floor_of(cost: Cost, ceilings: Ceilings, *, warm: bool, margin: float) -> Floor:
    """The floor of one workload.

    Args:
        cost: What one call must do.
        ceilings: What the device can do.
        warm: Whether inputs may lie in a cache when a call begins.
        margin: By how much more than its ceilings the device is believed to be able to.
    """
    memory_ms, moved = _memory(cost, ceilings, warm=warm)
    compute_ms, computed = _compute(cost, ceilings)
    launch_ms = ceilings.launch_ms if cost.written_bytes else 0.0
    limits = (
        (memory_ms / margin, margin, moved),
        (compute_ms / ALGORITHM / margin, margin, computed),
        (launch_ms / LAUNCH, LAUNCH, f"launching anything takes {launch_ms:.3g} ms"),
    )
    limit_ms, used, words = max(limits)
    arithmetic = f"{words}; with a margin of {used:g} at least {limit_ms:.3g} ms"
    sides = {"memory": memory_ms, "compute": compute_ms, "launch": launch_ms}
    bound = max(sides, key=lambda side: sides[side])
    return Floor(
        sides[bound], limit_ms, arithmetic, cost.source, bound, cost, memory_ms, compute_ms
    )


class Roofline:
    """The floors of one problem on one device, and the word on a candidate's timings."""

    def __init__(self, problem: Problem, spec: EvaluationSpec, *, model_seed: int) -> None:
        """Use what the cache folder knows of the device; measures nothing."""
        self._problem = problem
        self._spec = spec
        self._model_seed = model_seed
        self._ceilings: Ceilings | None = None
        self._costs: dict[str, Cost] = {}

    def floors(
        self, workloads: Iterable[str], written_bytes: Callable[[str], int]
    ) -> dict[str, Floor]:
        """The floor of each workload; none when the device was never measured.

        The first call for a workload may run the reference and its gradient once.

        Args:
            workloads: Names.
            written_bytes: Tells the bytes of a workload's outputs; asked once per workload.
        """
        if self._ceilings is None:
            # Whoever started this process may have had them measured since.
            self._ceilings = None if self._spec.interpret_triton else kept(self._spec)
        if self._ceilings is None:
            return {}
        for workload in workloads:
            if workload not in self._costs:
                self._costs[workload] = self._cost(workload, written_bytes)
        kind = self._spec.device
        return {
            w: floor_of(self._costs[w], self._ceilings, warm=kind == "cpu", margin=MARGIN[kind])
            for w in workloads
        }

    def measured_again(
        self, floors: Iterable[str], written_bytes: Callable[[str], int]
    ) -> dict[str, Floor]:
        """`floors` of the same workloads after measuring the device, which must be leased."""
        self._ceilings = measured(self._spec)
        return self.floors(floors, written_bytes)

    def _cost(self, workload: str, written_bytes: Callable[[str], int]) -> Cost:
        return cost_of(
            self._problem,
            workload,
            written_bytes,
            device=self._spec.torch_device,
            model_seed=self._model_seed,
        )


def cost_of(
    problem: Problem,
    workload: str,
    written_bytes: Callable[[str], int],
    *,
    device: str,
    model_seed: int,
) -> Cost:
    """What one call on a workload must do: by the problem's `get_cost`, or found out.

    Args:
        problem: The problem.
        workload: One of its workloads.
        written_bytes: Tells the bytes of a workload's outputs.
        device: Where the reference is run to find out.
        model_seed: Decides the reference's state.

    Raises:
        ProblemError: `get_cost` raises or does not return numbers under "bytes" and "flops".
    """
    inputs = problem.inputs(workload, 0)
    dtype = problem.shared_dtype(inputs)
    name = str(dtype).removeprefix("torch.") if dtype else ""
    if stated := problem.cost(inputs):
        total = stated.get("bytes", 0.0)
        written = min(float(written_bytes(workload)), total)
        return Cost(total - written, written, stated.get("flops", 0.0), name)
    from fitness.dependence import moved_bytes

    found = moved_bytes(problem.model(model_seed).to(device, dtype), inputs, device)
    if found is None:
        return Cost(0.0, 0.0, source="outputs")
    return Cost(float(found.read), float(found.written), source="gradient")


def _memory(cost: Cost, ceilings: Ceilings, *, warm: bool) -> tuple[float, str]:
    """Milliseconds for the bytes at the level that takes longest, and the sum in words."""
    total = cost.read_bytes + cost.written_bytes
    best, words, nearer = 0.0, "nothing is moved", 0.0
    for level in ceilings.levels:
        behind = total - nearer
        if not warm and math.isinf(level.capacity_bytes):
            behind = cost.read_bytes + max(cost.written_bytes - nearer, 0.0)
        spent_ms = max(behind, 0.0) / level.bytes_per_s * 1e3
        if spent_ms > best:
            best = spent_ms
            words = (
                f"of {_size(total)} to be moved {_size(behind)} come from or go to {level.name} "
                f"at {level.bytes_per_s / 1e9:.4g} GB/s, the most ever measured here: "
                f"{spent_ms:.3g} ms"
            )
        nearer = level.capacity_bytes
    return best, words


def _compute(cost: Cost, ceilings: Ceilings) -> tuple[float, str]:
    rates = [ceilings.flops_per_s.get(name, 0.0) for name in _AS_FAST.get(cost.dtype, ())]
    rate = max(rates, default=0.0)
    if not rate or not cost.flops:
        return 0.0, "nothing is computed"
    spent_ms = cost.flops / rate * 1e3
    words = (
        f"{cost.flops / 1e9:.4g} GFLOP, of which a better algorithm may save all but one part in "
        f"{ALGORITHM:g}, take {spent_ms:.3g} ms at {rate / 1e9:.4g} GFLOP/s"
    )
    return spent_ms, words


def _size(nbytes: float) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= factor:
            return f"{nbytes / factor:.4g} {unit}"
    return f"{nbytes:.0f} B"
