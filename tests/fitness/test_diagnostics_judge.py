"""A judge that is asked to diagnose: more is told, and the verdict is what it was."""

from dataclasses import replace
from pathlib import Path

import pytest

from fitness.diagnostics.summary import summary
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
