"""Every part of a prompt, and every operator's whole first prompt, letter by letter."""

from dataclasses import replace

import pytest

from operators.llm import history, memory, parts
from operators.llm.memory import Memory
from operators.llm.operators import base
from operators.llm.registry import OPERATORS, model_operators
from operators.operator import Passage
from populations.outcome import Evaluation, Outcome
from tests.contracts.samples import TRITON, kernel
from tests.operators.llm.dialogues import CONTEXT, brief, drive, family, parents_of, situation
from tests.operators.llm.golden.conftest import TEXTS

KERNELS = family()
ONE, TWO, WRONG = KERNELS.get(1), KERNELS.get(2), KERNELS.get(3)
PROFILED = kernel(
    9,
    TRITON,
    evaluation=replace(
        ONE.evaluation,
        details={
            "diagnosis": ["bottleneck: memory bandwidth: 80% of the roofline", "registers 32"],
            "policy": ["flag: line 3: it reads a clock", "note: line 9: prints"],
            "roofline": {"small": {"share": "odd"}, "large": 3},
            "own_share": [],
        },
    ),
)
BEFORE = kernel(
    8,
    TRITON,
    evaluation=replace(
        ONE.evaluation,
        details={"diagnosis": ["bottleneck: latency", "registers 32"], "policy": 3},
    ),
)
REFUSED = kernel(
    10,
    TRITON,
    operator="rewrite",
    evaluation=Evaluation(
        outcome=Outcome.REJECTED, diagnostics="line 1: import of ctypes is refused"
    ),
)
PARTS = {
    "problem": parts.problem(brief()),
    "target": parts.target(brief()),
    "baselines": parts.baselines(brief(workloads=("small", "large", "huge"))),
    "kernel": parts.kernel_source("Parent", ONE),
    "times": parts.times(ONE),
    "times_odd_details": parts.times(PROFILED),
    "comparison": parts.comparison(ONE, TWO),
    "diagnostics": parts.diagnostics(WRONG),
    "diagnostics_passed": parts.diagnostics(PROFILED),
    "diagnostics_before": parts.diagnostics(PROFILED, BEFORE),
    "diagnostics_refused": parts.diagnostics(REFUSED),
    "difference": parts.difference(ONE, WRONG),
    "ancestry": parts.ancestry(WRONG, KERNELS),
    "attempts": parts.attempts("What was tried", history.family([ONE], KERNELS), KERNELS),
    "divergence": parts.divergence(ONE, TWO, KERNELS),
    "knowledge": parts.knowledge([Passage("a/b", "Title\nof two lines", "Text.\n\n```c\nx\n```")])[
        0
    ],
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_shown_as_recorded(golden, name):
    golden(f"part_{name}", PARTS[name].shown())


@pytest.mark.parametrize("kind", OPERATORS, ids=lambda kind: kind.name)
def test_a_prompt_is_as_recorded(golden, kind, monkeypatch):
    monkeypatch.setattr(
        memory, "draw", lambda _, among: Memory.BOTH if Memory.BOTH in among else among[0]
    )
    kernels = family()
    operator = model_operators("m", context_tokens=CONTEXT)[kind.name]
    told = situation(kernels)
    conversation = operator.vary(parents_of(operator.arity, kernels), told)
    (prompt,) = drive(conversation, "GIVE UP: enough").prompts
    assert [message.role for message in prompt.messages] == ["system", "user"]
    golden(f"prompt_{kind.name}", prompt.messages[1].text)


@pytest.mark.parametrize("answer", ["format_module", "format_blocks", "format_explain"])
def test_a_system_message_is_as_recorded(golden, answer):
    golden(f"system_{answer}", base.system_text(("cpp", "triton", "python", "other"), answer))


def test_every_recorded_text_is_compared():
    systems = {"system_format_module", "system_format_blocks", "system_format_explain"}
    prompts = {f"prompt_{kind.name}" for kind in OPERATORS}
    assert {path.stem for path in TEXTS.iterdir()} == {f"part_{name}" for name in PARTS} | (
        systems | prompts
    )
