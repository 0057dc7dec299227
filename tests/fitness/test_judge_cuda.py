"""The judge on a CUDA device: values, precision, a crash of a kernel, timing against baselines."""

from pathlib import Path

import pytest

from fitness.pool import LocalPool
from fitness.spec import EvaluationSpec
from populations.kernel import Candidate
from populations.outcome import Outcome

pytestmark = pytest.mark.cuda
PROBLEMS = Path(__file__).parent / "problems"
TRITON = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def kernel(a, b, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    tl.store(out + at, tl.load(a + at, mask) + tl.load(b + at, mask), mask)


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.empty_like(a)
        kernel[(2,)](a, b, out, a.numel(), BLOCK=128)
        return out
"""
CONV = """
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x):
        {body}
"""


def pool(folder, problem, **changes):
    settings = {"baselines": ("eager",), "pairs": 10, "run_limit_s": 60.0, **changes}
    return LocalPool(
        EvaluationSpec(
            problem=PROBLEMS / f"{problem}.py", cache_dir=folder, device="cuda", **settings
        )
    )


@pytest.fixture(scope="module")
def adding(tmp_path_factory):
    with pool(tmp_path_factory.mktemp("cache"), "add") as judges:
        yield judges


@pytest.fixture(scope="module")
def convolving(tmp_path_factory):
    with pool(tmp_path_factory.mktemp("cache"), "conv1d") as judges:
        yield judges


def candidate(source, language="python"):
    return Candidate(number=0, source=source, language=language)


def test_a_triton_kernel_is_compiled_checked_and_timed(adding):
    evaluation = adding.evaluate_once(candidate(TRITON, "triton"))
    assert evaluation.passed, evaluation.diagnostics
    assert evaluation.timings[0].candidate_ms < 1
    assert evaluation.details["cache"] == "cold"


def test_a_triton_kernel_that_forgets_half(adding):
    evaluation = adding.evaluate_once(candidate(TRITON.replace("[(2,)]", "[(1,)]"), "triton"))
    assert evaluation.outcome is Outcome.WRONG_VALUES
    assert "indices 128 to 255, the tail" in evaluation.diagnostics


def test_an_illegal_access_costs_one_outcome(adding):
    bad = TRITON.replace("tl.store(out + at", "tl.store(out + at * 1000000007")
    assert adding.evaluate_once(candidate(bad, "triton")).outcome is not Outcome.PASSED
    assert adding.evaluate_once(candidate(TRITON, "triton")).passed


def test_the_reference_itself_passes(convolving):
    evaluation = convolving.evaluate_once(candidate(CONV.format(body="return self.conv(x)")))
    assert evaluation.passed, evaluation.diagnostics
    assert evaluation.details["golden"] == "float64"
    assert evaluation.details["state"] == "copied"


# As products of matrices: cuDNN may compute so small a convolution without tensor cores anyway.
TF32 = """torch.backends.cuda.matmul.allow_tf32 = True
        padded, length = nn.functional.pad(x, (1, 1)), x.shape[2]
        taps = [self.conv.weight[:, :, t] @ padded[:, :, t : t + length] for t in range(3)]
        return sum(taps) + self.conv.bias[:, None]"""


@pytest.mark.parametrize(
    "body",
    [
        TF32,
        "return nn.functional.conv1d(x.half(), self.conv.weight.half(), self.conv.bias.half(),"
        " padding=1).float()",
    ],
)
def test_less_precision_is_found(convolving, body):
    evaluation = convolving.evaluate_once(candidate(CONV.format(body=body)))
    assert evaluation.outcome is Outcome.WRONG_VALUES


def test_compiled_baselines_and_verification(tmp_path):
    with pool(tmp_path, "conv1d", baselines=("eager", "compile", "conv2d")) as judges:
        table = judges.measure_baselines()
        assert set(table.times_ms["B8"]) == {"eager", "compile", "conv2d"}, table.failed
        source = candidate(CONV.format(body="return self.conv(x)"))
        report = judges.verify(source, seed=source, pairs=10)
    assert report.passed, report.diagnostics
    assert all(0.7 < w.control.value < 1.4 for w in report.workloads)
