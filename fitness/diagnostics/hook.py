"""What a judge calls about a candidate that passed, after the timed stages."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from fitness.cases import Case
from fitness.diagnostics import compiled, device, profiles, resources
from fitness.process import CandidateProcess, Fault
from fitness.profile import CALLS, own_share
from fitness.sandbox.zygote import Spawner
from fitness.spec import EvaluationSpec
from populations.errors import WorkerError
from populations.outcome import Timing

# What a profile may take: the device is held for it.
PROFILE_S = 5.0
# How much longer a call may take in it than when it was timed.
_SLOWER = 5
# Short calls are repeated for so long, but not more often than this.
_REPEAT_MS = 20.0
_MOST_CALLS = {"cpu": 100, "cuda": 20}


def examined(process: CandidateProcess, spec: EvaluationSpec, spawner: Spawner) -> dict[str, Any]:
    """Find out what the compilers did with a candidate; only `profiled` comes later.

    Nothing in here decides anything: what the candidate answers is only shown, and one that fails
    now has passed all the same. Call it outside of every timed stage.

    Args:
        process: Of a candidate that passed and was timed.
        spec: How it was judged.
        spawner: Starts the confined compiler.

    Returns:
        `diagnostics` for the details, with `cpp` or `kernels`, as far as there are any; see
        `fitness.diagnostics.summary`. Nothing where the spec does not want it.
    """
    if not spec.diagnose or spec.interpret_triton:
        return {}
    found: dict[str, Any] = {}
    if spec.device == "cpu":
        # A full disk or a compiler that cannot be started are no reason to lose an evaluation.
        with suppress(OSError, WorkerError):
            if cpp := compiled.examine(process.candidate, spec, spawner):
                found["cpp"] = cpp
        return {"diagnostics": found} if found else {}
    try:
        answer = process.resources()
    except Fault as fault:
        return {"diagnostics": {"reason": fault.text.partition("\n")[0]}}
    if kernels := resources.checked(answer.get("kernels"), _limits(spec)):
        found["kernels"] = kernels
    return {"diagnostics": found} if found else {}


def profiled(
    process: CandidateProcess,
    spec: EvaluationSpec,
    case: Case,
    timing: Timing,
    details: Mapping[str, Any],
) -> dict[str, Any]:
    """Profile a candidate that was timed; the device must be leased, and its process ends then.

    Nothing in here decides anything, and nothing is raised: one that fails under the profiler, or
    makes its judge lose patience, has passed all the same.

    Args:
        process: Of a candidate that passed and was timed.
        spec: How it was judged.
        case: The inputs.
        timing: Of the same workload.
        details: The evaluation's so far.

    Returns:
        `diagnostics` for the details, with `counters` beside what was in it
        (`fitness.diagnostics.profiles`). Nothing where the spec wants no diagnostics.
    """
    if not spec.diagnose or spec.interpret_triton:
        return {}
    if timing.candidate_ms * (CALLS + 1) * _SLOWER > PROFILE_S * 1e3:
        facts: dict[str, Any] = {"reason": f"a call takes {timing.candidate_ms:.3g} ms"}
    else:
        calls = min(_REPEAT_MS / max(timing.candidate_ms, 1e-6), _MOST_CALLS[spec.device])
        many, trace = max(int(calls), CALLS), spec.device == "cuda"
        try:
            facts = own_share(process, case, calls=many, trace=trace, limit_s=PROFILE_S)
        except (OSError, WorkerError) as error:
            facts = {"reason": str(error)}
    timed = details.get("timing", {}).get(case.workload, {})
    unheld_ms = next(iter(timed.get("unheld_ms", {}).values()), None)
    counters = profiles.counters(
        facts,
        timing,
        device=spec.device,
        unheld_ms=unheld_ms,
        warm=bool(timed.get("counts_unheld")),
    )
    return {"diagnostics": {**details.get("diagnostics", {}), "counters": counters}}


def _limits(spec: EvaluationSpec) -> device.Limits | None:
    import torch

    return device.limits_of(torch.cuda.get_device_capability(spec.torch_device))
