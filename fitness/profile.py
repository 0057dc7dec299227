"""Whose work a kernel is: the share of time spent in the candidate's own kernels.

Asked of a candidate that passed and was timed. On CUDA it is a share of device time; on the CPU a
share of the time spent in own functions and in torch's operators. It says whether a speedup comes
from the candidate's kernels or from what it calls; it is shown and decides nothing, because it
comes from the candidate's process.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fitness.cases import Case
from fitness.gate.names import KernelNames, kernel_names
from fitness.gate.torch_tables import kind
from fitness.process import CandidateProcess, Fault

# Calls under the profiler.
CALLS = 5
_SHOWN = 8
_NAME_SHOWN = 80
OWN, LIBRARY, TORCH = "own", "library", "torch"
_LIBRARY_KERNEL = re.compile(
    r"cublas|cudnn|cutlass|cusparse|cusolver|cufft|nvjet|nccl|magma|xmma|gemm|gemv|splitk"
    r"|flash_?(fwd|bwd|attn)|fmha|implicit_con|winograd|scudnn|cask|ampere_|hopper_|sm\d\d+_"
    r"|^void (cub|thrust)::|dot_kernel|vector_fft|regular_fft",
    re.IGNORECASE,
)
_TORCH_KERNEL = re.compile(
    r"at::|c10::|at_cuda_detail|^Mem(cpy|set)|elementwise_kernel|\breduce_kernel|distribution_"
    r"|^triton_(poi|per|red|tem|mm|for|spl)_|_scatter_gather|CatArray|softmax_warp_forward"
)
# Not work of a kernel's kind: memory is got ready, or nothing is done.
_IDLE = frozenset(("layout", "size", "question"))
_COPIES = frozenset(
    ("copy_", "clone", "contiguous", "_to_copy", "fill_", "zero_", "full", "arange")
)


@dataclass(frozen=True, slots=True)
class Share:
    """Where the time of some calls went.

    Attributes:
        us: Class ("own", "library", "torch") -> microseconds a call.
        launches: Class -> kernels or operators a call.
        kernels: The longest-running: name, class, microseconds a call.
        reason: Why nothing is known; "" when something is.
    """

    us: dict[str, float]
    launches: dict[str, float]
    kernels: tuple[tuple[str, str, float], ...] = ()
    reason: str = ""

    @property
    def own(self) -> float | None:
        """Share of own kernels, 0..1; None when nothing was measured."""
        total = sum(self.us.values())
        return self.us.get(OWN, 0.0) / total if total else None

    def facts(self) -> dict[str, Any]:
        """JSON-able, for an evaluation's details."""
        total = sum(self.us.values())
        if not total:
            return {"own_share": None, "reason": self.reason or "nothing was seen to run"}
        facts: dict[str, Any] = {
            f"{name}_share": round(self.us.get(name, 0.0) / total, 4)
            for name in (OWN, LIBRARY, TORCH)
        }
        for name in (OWN, LIBRARY, TORCH):
            facts[f"{name}_launches"] = round(self.launches.get(name, 0.0), 2)
        facts["kernels"] = [[n, c, round(us, 3)] for n, c, us in self.kernels]
        return facts


def own_share(
    process: CandidateProcess,
    case: Case,
    *,
    calls: int = CALLS,
    trace: bool = False,
    limit_s: float = math.inf,
) -> dict[str, Any]:
    """Profile a candidate that passed on one case; the last thing it is asked.

    A candidate that fails under the profiler ends its process and gives `own_share` None with a
    `reason`; nothing is raised for what it does.

    Args:
        process: Constructed, and right on the case's workload.
        case: The inputs.
        calls: Under the profiler; as many go before them where they are more than a few.
        trace: Whether to add `trace`, on CUDA: every launch, for `fitness.diagnostics.traces`. It
            is as the process says, unlooked at.
        limit_s: Time for it.

    Returns:
        JSON-able facts: `own_share`, `library_share`, `torch_share` (they add up to 1),
        `own_launches`, `library_launches`, `torch_launches` for one call, and `kernels`, the
        longest-running as name, class and microseconds. On the CPU operators stand for kernels,
        and one that calls another counts beside it.
    """
    names = kernel_names(process.candidate.source)
    try:
        answer = process.profile(case, calls, trace=trace, limit_s=limit_s)
    except Fault as fault:
        return {"own_share": None, "reason": fault.text.partition("\n")[0]}
    facts = share(answer, names, calls).facts()
    return {**facts, "trace": answer["trace"]} if trace and "trace" in answer else facts


def share(answer: Any, names: KernelNames, calls: int = CALLS) -> Share:
    """Classify what a profile of some calls answered; what is not as it should be is left out."""
    data = answer if isinstance(answer, dict) else {}
    events = list(_events(data.get("events")))
    if "wall_us" in data:
        return _on_cpu(events, _number(data.get("own_us")), _number(data["wall_us"]), names, calls)
    classes = [(name, kernel_class(name, names), count, us) for name, count, us in events]
    return _summed(classes, calls)


def kernel_class(name: str, names: KernelNames) -> str:
    """Whose a kernel on CUDA is, by its name as the profiler writes it."""
    if base_name(name) in names.kernels:
        return OWN
    if "cutlass" in name and names.uses_cutlass:
        # Templates that the candidate's own text instantiates.
        return OWN
    # Torch's namespace first: some of its kernels have the names of libraries in their arguments.
    if _TORCH_KERNEL.search(name):
        return TORCH
    return LIBRARY if _LIBRARY_KERNEL.search(name) else OWN


def base_name(name: str) -> str:
    """`void a::f<int>(float*)` -> `f`."""
    name = name.removeprefix("void ")
    depth, end = 0, len(name)
    for i, letter in enumerate(name):
        if letter in "<(" and depth == 0 and i and not name.startswith("(anonymous", i):
            end = i
            break
    return name[:end].rpartition("::")[2].strip()


def _on_cpu(
    events: list[tuple[str, int, float]],
    own_us: float | None,
    wall_us: float | None,
    names: KernelNames,
    calls: int,
) -> Share:
    classes: list[tuple[str, str, int, float]] = []
    inside_us = 0.0
    for name, count, us in events:
        inside_us += us
        plain = name.removeprefix("aten::")
        does = kind(f"torch.ops.aten.{plain}")
        if does in _IDLE and plain not in _COPIES:
            continue
        classes.append((name, LIBRARY if does == "library" else TORCH, count, us))
    if own_us is None and names.any and wall_us is not None:
        # Of functions that are no `load_cpp` ones only what torch did not do is known.
        own_us = max(wall_us - inside_us, 0.0)
    if own_us:
        classes.append(("own functions", OWN, calls, own_us))
    return _summed(classes, calls)


def _summed(classes: list[tuple[str, str, int, float]], calls: int) -> Share:
    us: Counter[str] = Counter()
    launches: Counter[str] = Counter()
    for _, whose, count, time_us in classes:
        us[whose] += time_us / calls  # type: ignore[assignment]
        launches[whose] += count / calls  # type: ignore[assignment]
    longest = sorted(classes, key=lambda c: -c[3])[:_SHOWN]
    shown = tuple((name[:_NAME_SHOWN], whose, t / calls) for name, whose, _, t in longest)
    return Share(dict(us), dict(launches), shown)


def _events(data: Any) -> Iterable[tuple[str, int, float]]:
    for item in data if isinstance(data, list) else ():
        if not isinstance(item, list) or len(item) != 3:
            continue
        name, count, us = str(item[0]), _number(item[1]), _number(item[2])
        if count is not None and us is not None:
            yield name, int(count), us


def _number(value: Any) -> float | None:
    """A number that is none of the strange ones."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) and 0 <= value < 1e15 else None
