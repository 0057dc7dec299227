"""A judge that is asked to diagnose: more is told, and the verdict is what it was."""

from dataclasses import replace
from pathlib import Path

import pytest

from fitness.diagnostics.summary import summary
from fitness.elites import Elites
from fitness.pool import LocalPool
from fitness.spec import EvaluationSpec
from populations.kernel import Candidate
from populations.outcome import Outcome

PROBLEM = """
import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x) * 2


WORKLOADS = {"small": {"rows": 6, "columns": 100}, "large": {"rows": 64, "columns": 1024}}


def get_inputs(rows=6, columns=100):
    return [torch.randn(rows, columns)]


def get_init_inputs():
    return []
"""
KERNEL = '''
import torch
from torch import nn
from fitness.native import load_cpp

SOURCE = r"""
extern "C" void relu2(const float* x, float* out, long long n) {
    for (long long i = 0; i < (BOUND); ++i) out[i] = x[i] > 0 ? 2 * x[i] : 0;
}
"""
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.zeros_like(x)
        kernels.relu2(x, out, x.numel())
        return out
'''


# What it computes is right, after forty additions an element.
SLOW = KERNEL.replace("BOUND", "n").replace(
    "out[i] = x[i] > 0 ? 2 * x[i] : 0;",
    "{\n        volatile float sum = 0;\n        for (int k = 0; k < 40; ++k) sum = sum + x[i];\n"
    "        out[i] = x[i] > 0 ? 2 * x[i] : 0;\n    }",
)


def candidate(bound):
    return Candidate(number=0, source=KERNEL.replace("BOUND", bound), language="cpp")


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("judge")
    (folder / "problem.py").write_text(PROBLEM)
    spec = EvaluationSpec(
        problem=folder / "problem.py",
        cache_dir=folder / "cache",
        baselines=("eager",),
        pairs=5,
        timing_budget_s=0.02,
        workers=1,
        diagnose=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("locks")))
        with LocalPool(spec, secret=1) as pool:
            yield pool


@pytest.mark.compiler
def test_a_kernel_that_passes_is_examined(pool) -> None:
    evaluation = pool.evaluate_once(candidate("n"))
    assert evaluation.outcome is Outcome.PASSED
    (loop,) = evaluation.details["diagnostics"]["cpp"]["loops"]
    assert "out[i] = x[i] > 0" in loop or "for (long long i" in loop
    assert evaluation.details["diagnosis"]
    assert summary(evaluation).splitlines() == evaluation.details["diagnosis"]
    assert evaluation.details["stages"]["diagnose"]["wall_s"] > 0


@pytest.mark.compiler
def test_only_who_may_be_the_best_is_profiled(pool, monkeypatch) -> None:
    monkeypatch.setattr(pool, "_elites", Elites())
    first = pool.evaluate_once(candidate("n"))
    again = pool.evaluate_once(replace(candidate("n"), number=1))
    slower = pool.evaluate_once(replace(candidate("n"), source=SLOW))
    counters = first.details["diagnostics"]["counters"]
    assert counters["workload"] == "large"
    # Zeros are made by one operator, which calls another; and there is a function of its own.
    assert 2 <= counters["launches"] <= 3
    assert counters["own_share"] + counters["torch_share"] == pytest.approx(1, abs=1e-3)
    assert {"kind", "evidence", "share"} == set(first.details["diagnostics"]["profiled"])
    assert any("profile of a call on large: own" in t for t in first.details["diagnosis"])
    assert len(first.details["diagnosis"]) < 40
    assert first.details["roofline"]["large"]["bytes_per_s"] > 0
    assert 0 < first.details["stages"]["profile"]["wall_s"] < 2
    # One text is profiled once, and who is slow not at all.
    for evaluation in (again, slower):
        assert evaluation.outcome is Outcome.PASSED
        assert "counters" not in evaluation.details["diagnostics"]
        assert "profile" not in evaluation.details["stages"]


@pytest.mark.compiler
def test_a_kernel_that_fails_under_the_profiler_has_passed(pool, monkeypatch) -> None:
    monkeypatch.setattr(pool, "_elites", Elites())
    fails = "        if torch.autograd._profiler_enabled():\n            raise ValueError('seen')\n"
    head, forward, body = candidate("n").source.partition("    def forward(self, x):\n")
    failing = replace(candidate("n"), source=f"{head}{forward}{fails}{body}")
    evaluation = pool.evaluate_once(failing)
    assert evaluation.outcome is Outcome.PASSED, evaluation.diagnostics
    assert len(evaluation.timings) == 2
    counters = evaluation.details["diagnostics"]["counters"]
    assert set(counters) == {"reason"}
    assert "seen" in counters["reason"] or "raised" in counters["reason"]
    assert evaluation.details["diagnosis"]


@pytest.mark.compiler
def test_a_wrong_kernel_is_narrowed_down(pool) -> None:
    evaluation = pool.evaluate_once(candidate("n - n % 64"))
    assert evaluation.outcome is Outcome.WRONG_VALUES
    text = evaluation.diagnostics
    assert "along dimension 0 (extent 6) only index 5 (the last)" in text
    assert "within one run in memory: elements 5" in text
    assert "all wrong elements are zero" in text
    # 6 rows of 1 column, 1 row of 100 columns: whichever is smaller and has a positive number.
    assert "the smallest shape that fails: " in text
    assert "float32[" in text
    assert any(not shape["right"] for shape in evaluation.details["shapes"])
    assert evaluation.checks_passed == 0


@pytest.mark.compiler
def test_who_does_not_ask_is_told_nothing(pool) -> None:
    with LocalPool(replace(pool.spec, diagnose=False), secret=1) as other:
        right = other.evaluate_once(candidate("n"))
        wrong = other.evaluate_once(candidate("n - n % 64"))
    assert right.outcome is Outcome.PASSED
    assert not {"diagnostics", "diagnosis"} & set(right.details)
    assert wrong.outcome is Outcome.WRONG_VALUES
    assert "smallest shape" not in wrong.diagnostics
    assert "all wrong elements are zero" in wrong.diagnostics
