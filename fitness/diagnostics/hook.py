"""What a judge calls about a candidate that passed, after the timed stages."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fitness.diagnostics import compiled, device, resources
from fitness.process import CandidateProcess, Fault
from fitness.sandbox.zygote import Spawner
from fitness.spec import EvaluationSpec
from populations.errors import WorkerError


def examined(process: CandidateProcess, spec: EvaluationSpec, spawner: Spawner) -> dict[str, Any]:
    """Find out what the compilers did with a candidate; the last thing that its process is asked.

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


def _limits(spec: EvaluationSpec) -> device.Limits | None:
    import torch

    return device.limits_of(torch.cuda.get_device_capability(spec.torch_device))
