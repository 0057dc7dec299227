"""Problem files in KernelBench's format, unchanged: described, seeded and judged."""

from pathlib import Path

import pytest

from fitness.inductor import inductor_seed
from fitness.pool import LocalPool
from fitness.problem import describe
from fitness.spec import EvaluationSpec
from populations.kernel import Candidate
from populations.outcome import Outcome

PROBLEMS = Path(__file__).parent / "test_inductor_problems"


def test_a_problem_file_is_described():
    facts = describe(PROBLEMS / "heads.py")
    assert [w.name for w in facts.workloads] == ["r8", "r16"]
    assert facts.workloads[0].inputs == ("float32[8, 40]", "float32[40, 8]")
    assert facts.parameters == 40 * 33 + 33
    assert facts.outputs == ("float32[8, 33]", "float32[]", "float32[40, 8]", "float32[8, 40]")


@pytest.mark.compiler
def test_the_seed_of_a_problem_passes_the_judge(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    spec = EvaluationSpec(
        problem=PROBLEMS / "pooled.py",
        cache_dir=tmp_path,
        baselines=("eager",),
        pairs=5,
        timing_budget_s=0.02,
        workers=1,
    )
    source = inductor_seed(spec)
    with LocalPool(spec) as pool:
        candidate = Candidate(number=0, source=source, language="cpp", note="TorchInductor")
        evaluation = pool.evaluate_once(candidate)
    assert evaluation.outcome is Outcome.PASSED, evaluation.diagnostics
    assert evaluation.details["state"] == "copied"
