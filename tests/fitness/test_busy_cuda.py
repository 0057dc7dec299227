"""Verification on a CUDA device: who keeps it busy for longer than he says falls."""

from pathlib import Path

import pytest

from fitness.busy import Meter
from fitness.pool import LocalPool
from fitness.spec import EvaluationSpec
from populations.kernel import Candidate
from populations.outcome import Outcome
from tests.fitness.test_judge_cuda import TRITON

pytestmark = pytest.mark.cuda
HOME = Path(__file__).parent
ADD = HOME / "problems" / "add.py"
PRODUCT = HOME.parent / "adversarial" / "problems" / "product.py"
KERNELS = HOME.parent / "adversarial" / "kernels" / "cuda"
TINY = TRITON.replace("[(2,)]", "[(triton.cdiv(a.numel(), 128),)]")
# Between 0.1 and 0.2 ms on an H200.
PRODUCT_KERNEL = """
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        return self.linear(x)
"""
MANY = """
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = a.clone()
        for _ in range({launches}):
            out += 1
            out -= 1
        return torch.add(a, b, out=out)
"""
# Computes for a fifth of a millisecond in the hold that it is given, and says that it launched.
THIEF = (
    TINY.replace(
        "        kernel[",
        "        take_over()\n        torch.cuda._sleep(380_000)\n        kernel[",
    )
    + """

CLAIMED_MS = 0.005
TAKEN = []


class Thief:
    def __init__(self, watch):
        self.watch = watch

    def __getattr__(self, name):
        return getattr(self.watch, name)

    def batch(self, timed, request):
        found = self.watch.batch(timed, request._replace(held_ms=0.0))
        if not request.calls:
            return found
        claimed = [min(t, CLAIMED_MS) for t in found.times_ms]
        spared_ms = sum(found.times_ms) - sum(claimed)
        return found._replace(times_ms=claimed, launch_ms=spared_ms / 1.3, late=False)


def take_over():
    import sys

    frame = None if TAKEN else sys._getframe()
    TAKEN.append(True)
    while frame is not None:
        for owner in list(frame.f_locals.values()):
            for name, thing in list(getattr(owner, "__dict__", {}).items()):
                if hasattr(thing, "batch") and "fitness" in type(thing).__module__:
                    setattr(owner, name, Thief(thing))
        frame = frame.f_back
"""
)


@pytest.fixture(scope="module")
def verified(tmp_path_factory):
    if Meter.of("cuda:0") is None:
        pytest.skip("the driver tells nothing of how busy the device is")
    cache = tmp_path_factory.mktemp("cache")
    pools = {
        problem: LocalPool(
            EvaluationSpec(
                problem=problem,
                cache_dir=cache,
                device="cuda",
                baselines=("eager",),
                pairs=10,
                run_limit_s=60.0,
                gate=False,
            )
        )
        for problem in (ADD, PRODUCT)
    }

    def verify(problem, source, language="python"):
        candidate = Candidate(number=0, source=source, language=language)
        return pools[problem].verify(candidate, pairs=10, timing_budget_s=0.5)

    yield verify
    for pool in pools.values():
        pool.close()


@pytest.mark.parametrize(
    ("problem", "source", "language"),
    [
        (ADD, TINY, "triton"),
        (ADD, MANY.format(launches=5), "python"),
        (ADD, MANY.format(launches=20), "python"),
        (ADD, MANY.format(launches=100), "python"),
        (PRODUCT, PRODUCT_KERNEL, "python"),
        (PRODUCT, (KERNELS / "b07_hold_honest.py").read_text(encoding="utf-8"), "python"),
    ],
    ids=["tiny", "10 launches", "40 launches", "200 launches", "product", "200 and product"],
)
def test_an_honest_kernel_passes(verified, problem, source, language):
    report = verified(problem, source, language)
    assert report.passed, (report.diagnostics, report.details.get("busy"))
    for entry in report.workloads:
        assert entry.facts["busy"]["concluded"], entry.facts["busy"]


@pytest.mark.parametrize(
    ("problem", "source", "language"),
    [
        (ADD, THIEF, "triton"),
        (ADD, THIEF.replace("380_000", "100_000"), "triton"),
        (PRODUCT, (KERNELS / "b07_hold_cheat.py").read_text(encoding="utf-8"), "python"),
    ],
    ids=["0.2 ms", "0.05 ms", "B7.hold"],
)
def test_time_taken_from_a_hold_is_told_by_the_device(verified, problem, source, language):
    report = verified(problem, source, language)
    assert report.outcome is Outcome.CHEATED, [w.facts["busy"] for w in report.workloads]
    assert "by its driver's word" in report.diagnostics
