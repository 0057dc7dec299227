"""What one judgement costs of the device: seconds of lease by stage, from what the judge notes.

Three candidates are judged several times: one that is right, one that is wrong from the first
question on, and one that the gate refuses. Builds are cached, as they are for all but a kernel's
first judgement; what the judge keeps for a problem is made before.
"""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.aa import KERNELS, PROBLEM
from populations.kernel import Candidate

WORKLOAD = "8k"
# Bars of one judgement's lease, seconds.
PASSED_S = 2.5
REJECTED_S = 0.5


def measure(device: str, repetitions: int, threads: int = 1) -> dict[str, Any]:
    """Judge each candidate `repetitions` times; kind -> stage -> median seconds.

    Args:
        device: "cpu" or "cuda".
        repetitions: Judgements of each kind that count, after one that does not.
        threads: CPU threads of each process.
    """
    from evo.experiment import cache_dir
    from fitness.pool import LocalPool
    from fitness.spec import EvaluationSpec

    spec = EvaluationSpec(
        problem=PROBLEM,
        cache_dir=cache_dir(),
        device=device,
        threads=threads,
        workloads=(WORKLOAD,),
        baselines=("eager",),
        workers=1,
        run_limit_s=60.0,
    )
    found: dict[str, Any] = {"device": device, "repetitions": repetitions}
    with LocalPool(spec) as pool:
        for kind, candidate in candidates(device).items():
            evaluations = [pool.evaluate_once(candidate) for _ in range(repetitions + 1)][1:]
            found[kind] = {
                "outcome": str(evaluations[0].outcome),
                "stages": medians([e.details["stages"] for e in evaluations]),
                "device_s": statistics.median(_total(e.details["stages"]) for e in evaluations),
            }
    return found


def candidates(device: str) -> dict[str, Candidate]:
    """A right kernel, the same with a wrong sign, and one that the gate refuses."""
    file, language = KERNELS[device]
    source = file.read_text(encoding="utf-8")
    wrong = source.replace("+ 0.5", "- 0.5")
    refused = f"import socket\n{source}"
    return {
        "passed": Candidate(0, source, language),
        "wrong": Candidate(1, wrong, language),
        "refused": Candidate(2, refused, language),
    }


def medians(found: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Stage -> median seconds by the clock ("wall_s") and of device lease ("device_s")."""
    return {
        stage: {
            kind: statistics.median(stages[stage][kind] for stages in found if stage in stages)
            for kind in ("wall_s", "device_s")
        }
        for stage in found[0]
    }


def _total(stages: dict[str, dict[str, float]]) -> float:
    return sum(stage["device_s"] for stage in stages.values())
