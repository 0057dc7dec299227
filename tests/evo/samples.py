"""Judged kernels and whole runs, made up, to show and to write down."""

from __future__ import annotations

import math
import random

from evo.budget import Budget, Spent
from evo.events import Started
from evo.report import RunData
from evo.tables import workload_rows
from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation, Outcome, Speedup, Timing

WORKLOADS = ("fp32_B8", "fp32_B32")
BASELINES = {
    "fp32_B8": {"eager": 1.62, "compile": 1.31, "max-autotune": 1.2, "conv2d": 0.987},
    "fp32_B32": {"eager": 6.3, "compile": 5.31, "max-autotune": 4.2, "conv2d": 3.9},
}
OPERATORS = ("tune", "register_block", "merge", "parallel_for_collapse", "unroll", "simd", "hoist")

SEED = '''\
"""Twice the input."""
import torch
from torch import nn

from fitness.native import load_cpp

SOURCE = r"""
#define TILE 32  // tune: 16, 32, 64
extern "C" void twice(const float *x, float *y, long long n) {
    #pragma omp parallel for
    for (long long i = 0; i < n; ++i) y[i] = x[i] * 2.0f;  // double it
}
"""
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)  # fresh
        kernels.twice(x, y, x.numel() // 2 * 2)
        return y
'''


def passed(value: float) -> Evaluation:
    speedup = Speedup(value, value * 0.97, value * 1.03)
    timings = tuple(
        Timing(
            name, "conv2d", times["conv2d"] / value, times["conv2d"], speedup, (math.log(value),)
        )
        for name, times in BASELINES.items()
    )
    return Evaluation(Outcome.PASSED, 6, 6, timings=timings, speedup=speedup, device_s=0.1)


def kernel(
    number: int,
    value: float | None = None,
    *,
    outcome: Outcome = Outcome.WRONG_VALUES,
    operator: str = "seed",
    parents: tuple[int, ...] = (),
    note: str = "",
    source: str = SEED,
) -> Kernel:
    """A kernel that passed with speedup `value`, or ended in `outcome`."""
    candidate = Candidate(number, source, "cpp", operator=operator, parents=parents, note=note)
    return Kernel(candidate, passed(value) if value else Evaluation(outcome))


def history(count: int, *, seed: int = 1) -> tuple[list[Kernel], list[int]]:
    """A run of `count` kernels that gets somewhere, and the numbers of its champions."""
    rng = random.Random(seed)
    kernels = [kernel(0, 0.42, note="plain loops")]
    improvements = [0]
    able = kernels[:]  # the best ones, who are parents
    failures = [o for o in Outcome if o is not Outcome.PASSED]
    for number in range(1, count):
        operator = rng.choice(OPERATORS)
        parents = rng.sample(able, k=2 if operator == "merge" and len(able) > 1 else 1)
        value = math.exp(parents[0].evaluation.speedup.log + rng.gauss(0.0, 0.05))
        made = kernel(
            number,
            value if rng.random() < 0.6 else None,
            outcome=rng.choice(failures),
            operator=operator,
            parents=tuple(parent.number for parent in parents),
            note=f"blocked by {rng.choice([4, 8, 16])}",
            source=SEED.replace("TILE 32", f"TILE {rng.choice([16, 64])}"),
        )
        best = kernels[improvements[-1]].evaluation.speedup
        kernels.append(made)
        if made.passed:
            able = sorted([*able, made], key=lambda k: -k.fitness[1])[:12]
        if made.passed and made.evaluation.speedup.low > best.value:
            improvements.append(number)
    return kernels, improvements


def run_data(count: int = 40, **changes: object) -> RunData:
    kernels, improvements = history(count)
    champion = kernels[improvements[-1]]
    arguments = {
        "experiment": "conv1d",
        "random_seed": 7,
        "device": "cpu (some processor, 2 threads)",
        "reason": f"{count} evaluations",
        "spent": Spent(evaluations=count, wall_s=412.0, device_s=201.0),
        "kernels": tuple(kernels),
        "improvements": tuple(improvements),
        "champion": champion.number,
        "table": workload_rows(BASELINES, kernels[0].evaluation, champion.evaluation),
        "baselines": BASELINES,
        "config": "[budget]\nevaluations = 40\n",
        "facts": {"torch": "2.13.0"},
        "reproduce": "python -m evo.run experiments/conv1d.toml",
    }
    return RunData(**{**arguments, **changes})


def started(**limits: float) -> Started:
    return Started(
        experiment="conv1d",
        directory="runs/conv1d",
        device="cpu",
        device_name="some processor",
        threads=2,
        budget=Budget(**limits),
        workers=2,
        workloads=WORKLOADS,
    )
