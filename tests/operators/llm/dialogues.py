"""A brief, a small lineage and scripted answers: dialogues without a model."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from operators.dialogue import Conversation, Prompt, Rejected
from operators.operator import Brief, Passage, Situation, Variation
from populations.call import Answer, Finish
from populations.kernel import Kernel
from populations.lineage import Lineage
from populations.outcome import Evaluation, Outcome, Speedup, Timing
from tests.contracts.samples import CPP, TRITON, kernel, lineage

PROBLEM = '''\
"""Scale every row by its sum."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return x * x.sum(dim=1, keepdim=True)


def get_inputs(rows=64):
    return [torch.randn(rows, 128)]


def get_init_inputs():
    return []
'''
TARGET = "Imaginary processor, 8 cores\nmain memory 20 GB/s, float32 200 GFLOP/s"
CONTEXT = 60_000


@dataclass
class Shelf:
    """Knowledge that keeps what it was asked."""

    passages: Sequence[Passage] = (
        Passage("guidance/memory", "Bound by memory", "Read every byte once."),
    )
    asked: list[tuple[str, Mapping[str, str], int]] = field(default_factory=list)

    def search(self, query: str, *, filters: Mapping[str, str], count: int) -> Sequence[Passage]:
        self.asked.append((query, dict(filters), count))
        return self.passages[:count]


def brief(**changes: object) -> Brief:
    plain = Brief(
        problem=PROBLEM,
        target=TARGET,
        languages=("cpp", "triton"),
        workloads=("small", "large"),
        baselines_ms={
            "small": {"eager": 0.5, "compiled": 0.4},
            "large": {"eager": 8.0, "compiled": 9.0},
        },
        knowledge=Shelf(),
    )
    return replace(plain, **changes)


def timed(small: float, large: float, *, share: float = 0.25) -> Evaluation:
    """Passed, with these speedups on two workloads."""
    timings = []
    for workload, baseline, ms, ratio in (
        ("small", "compiled", 0.4, small),
        ("large", "eager", 8.0, large),
    ):
        speedup = Speedup(ratio, ratio * 0.98, ratio * 1.02)
        timings.append(Timing(workload, baseline, ms / ratio, ms, speedup, (0.0, 0.1)))
    mean = (small * large) ** 0.5
    return Evaluation(
        outcome=Outcome.PASSED,
        checks_passed=4,
        checks_total=4,
        timings=tuple(timings),
        speedup=Speedup(mean, mean * 0.98, mean * 1.02),
        details={
            "roofline": {"small": {"share": share, "roofline_ms": 0.1}, "large": {"share": 0.5}},
            "own_share": {"small": {"own_share": 1.0}, "large": {"own_share": None}},
        },
    )


WRONG = Evaluation(
    outcome=Outcome.WRONG_VALUES,
    checks_passed=3,
    checks_total=4,
    diagnostics="workload 'small', seed 2 of 2: output 0: 128 of 8192 elements are wrong\n"
    "pattern: the last column",
)


def family() -> Lineage:
    """A seed, two children that are better at different workloads, their children, failures."""
    return lineage(
        kernel(0, CPP, language="cpp", evaluation=timed(0.5, 0.6), note="first kernel"),
        kernel(
            1,
            CPP.replace(
                "for (long long row", "#pragma omp parallel for\n    for (long long row", 1
            ),
            language="cpp",
            operator="rewrite",
            parents=(0,),
            evaluation=timed(1.0, 2.0),
            note="rows in parallel [memory: clean]",
        ),
        kernel(
            2,
            CPP.replace("float sum = 0.0f", "double sum = 0.0"),
            language="cpp",
            operator="edit",
            parents=(0,),
            evaluation=timed(1.5, 0.9),
            note="sums in double [memory: both]",
        ),
        kernel(
            3,
            CPP.replace("row < rows", "row <= rows"),
            language="cpp",
            operator="rewrite",
            parents=(1,),
            evaluation=WRONG,
            note="one row more",
        ),
        kernel(
            4,
            CPP.replace("TILE 64", "TILE 32"),
            language="cpp",
            operator="tune",
            parents=(1,),
            evaluation=timed(1.0, 2.1),
            note="TILE 64 to 32",
        ),
    )


def situation(kernels: Lineage | None = None, *, seed: int = 0, told: Brief | None = None):
    kernels = family() if kernels is None else kernels
    return Situation(lineage=kernels, rng=random.Random(seed), device="cpu", brief=told or brief())


def parents_of(arity: int, kernels: Lineage) -> list[Kernel]:
    return [kernels.get(1), kernels.get(2)][:arity]


def said(text: str, finish: Finish = Finish.COMPLETE) -> Answer:
    return Answer(text=text, finish=finish, model="scripted")


def module_answer(source: str, rationale: str = "fewer passes") -> str:
    return f"Rationale: {rationale}\n\n```python\n{source}```\n"


def block(search: str, new: str) -> str:
    return f"<<<<<<< SEARCH\n{search}\n=======\n{new}\n>>>>>>> REPLACE\n"


@dataclass(frozen=True)
class Held:
    """A dialogue that was driven to its end, or to the end of its script."""

    prompts: tuple[Prompt, ...]
    result: Variation | Rejected | None

    @property
    def last(self) -> str:
        return self.prompts[-1].messages[-1].text


def drive(conversation: object, *answers: str | Answer) -> Held:
    """Answer a dialogue's prompts in turn; the last answer again and again."""
    assert isinstance(conversation, Conversation), conversation
    prompts = []
    try:
        prompts.append(next(conversation.turns))
        for turn in range(12):
            answer = answers[min(turn, len(answers) - 1)]
            answer = said(answer) if isinstance(answer, str) else answer
            prompts.append(conversation.turns.send(answer))
    except StopIteration as end:
        return Held(tuple(prompts), end.value)
    return Held(tuple(prompts), None)


NEW_CPP = CPP.replace("sum +=", "sum = sum +")
NEW_TRITON = TRITON.replace("total += step", "total = total + step")
