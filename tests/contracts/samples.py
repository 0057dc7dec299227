"""Judged kernels and small sources to test with."""

from __future__ import annotations

from hypothesis import settings

from populations.kernel import Candidate, Kernel
from populations.lineage import Lineage
from populations.outcome import Evaluation, Outcome, Speedup, Timing

# Property tests are the same on every run, and a busy machine does not fail them.
quick = settings(max_examples=100, deadline=None, derandomize=True)

CPP = '''\
import torch
from torch import nn
from fitness.native import load_cpp

SOURCE = r"""
#include <cstddef>
#define TILE 64  // tune: 16, 32, 64, 128

extern "C" void scale(const float *x, float *y, long long rows, long long columns) {
    for (long long row = 0; row < rows; ++row) {
        float sum = 0.0f;
        for (long long column = 0; column < columns; ++column) {
            sum += x[row * columns + column];
        }
        for (long long column = 0; column < columns; ++column) {
            y[row * columns + column] = x[row * columns + column] * sum;
        }
    }
}
"""
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernels.scale(x, y, x.shape[0], x.shape[1])
        return y
'''

TRITON = """\
import torch
import triton
import triton.language as tl
from torch import nn

BLOCK = 128  # tune: 64, 128, 256
WARPS = 4  # tune: 2, 4, 8


@triton.jit
def scale(x, y, n, block: tl.constexpr):
    offsets = tl.program_id(0) * block + tl.arange(0, block)
    mask = offsets < n
    values = tl.load(x + offsets, mask=mask, other=0.0)
    total = 0.0
    for step in range(4):
        total += step
    tl.store(y + offsets, values * total, mask=mask)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        n = x.numel()
        scale[(triton.cdiv(n, BLOCK),)](x, y, n, BLOCK, num_warps=WARPS)
        return y
"""

SOURCES = {"cpp": CPP, "triton": TRITON}


def speedup(value: float, *, spread: float = 0.02) -> Speedup:
    return Speedup(value=value, low=value * (1 - spread), high=value * (1 + spread))


def passed(value: float, *, spread: float = 0.02) -> Evaluation:
    overall = speedup(value, spread=spread)
    timing = Timing(
        workload="small",
        baseline="eager",
        candidate_ms=1.0,
        baseline_ms=value,
        speedup=overall,
        log_ratios=(overall.log, overall.log / 3),
    )
    return Evaluation(
        outcome=Outcome.PASSED, checks_passed=4, checks_total=4, timings=(timing,), speedup=overall
    )


def failed(outcome: Outcome = Outcome.WRONG_VALUES, *, checks_passed: int = 0) -> Evaluation:
    return Evaluation(
        outcome=outcome, checks_passed=checks_passed, checks_total=4, diagnostics="off by one"
    )


def kernel(
    number: int,
    source: str = "",
    value: float | None = 1.0,
    *,
    parents: tuple[int, ...] = (),
    operator: str = "seed",
    language: str = "triton",
    spread: float = 0.02,
    evaluation: Evaluation | None = None,
    note: str = "",
) -> Kernel:
    """A kernel that passed with speedup `value`, or failed when `value` is None."""
    if evaluation is None:
        evaluation = failed() if value is None else passed(value, spread=spread)
    candidate = Candidate(
        number=number,
        source=source or f"kernel = {number}\n",
        language=language,
        operator=operator,
        parents=parents,
        note=note,
    )
    return Kernel(candidate=candidate, evaluation=evaluation)


def lineage(*kernels: Kernel) -> Lineage:
    found = Lineage()
    for each in kernels:
        found.add(each)
    return found
