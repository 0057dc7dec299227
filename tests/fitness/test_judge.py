"""One small pool judges candidates of every kind: each ends in its outcome, the rest goes on."""

import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from fitness.pool import LocalPool
from fitness.spec import EvaluationSpec
from populations.kernel import Candidate
from populations.outcome import Outcome

PROBLEMS = Path(__file__).parent / "problems"
RUN_LIMIT_S = 2.0
CONV = """
import os
import time
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x):
{body}
"""

CPP = """
import torch
from torch import nn
from fitness.native import load_cpp

SOURCE = r'''
extern "C" void add(const float* x, float* out, long long n) {
    for (long long i = 0; i < n; ++i) out[i] = x[i] + 1;
}
'''
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        out = torch.empty_like(x)
        kernels.add(x, out, x.numel())
        return out
"""


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    spec = EvaluationSpec(
        problem=PROBLEMS / "conv1d.py",
        cache_dir=tmp_path_factory.mktemp("cache"),
        baselines=("eager", "conv2d"),
        pairs=8,
        timing_budget_s=0.05,
        run_limit_s=RUN_LIMIT_S,
        memory_bytes=1 << 30,
    )
    # Another search on this machine must not hold these tests up, nor they it.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("locks")))
        with LocalPool(spec, secret=1) as pool:
            yield pool


@pytest.fixture(scope="module")
def ungated(pool):
    """The same, but what the static gate refuses is run: the wall behind it must hold too."""
    with LocalPool(replace(pool.spec, gate=False, baselines=("eager",)), secret=1) as other:
        yield other


def conv(body, language="python"):
    return Candidate(
        number=0, source=CONV.format(body=textwrap.indent(body, " " * 8)), language=language
    )


def judged(pool, body):
    return pool.evaluate_once(conv(body))


def test_a_right_candidate_is_timed_against_the_fastest_baseline(pool):
    table = pool.measure_baselines()
    assert set(table.times_ms["B2"]) == {"eager", "conv2d"}
    evaluation = judged(pool, "return self.conv(x)")
    assert evaluation.outcome is Outcome.PASSED
    # Two workloads with two seeds each, and one question after the weights were changed.
    assert (evaluation.checks_passed, evaluation.checks_total) == (5, 5)
    assert [t.workload for t in evaluation.timings] == ["B2", "B8"]
    assert [t.baseline for t in evaluation.timings] == [table.fastest(w) for w in ("B2", "B8")]
    assert 0.2 < evaluation.speedup.value < 5
    assert evaluation.details["state"] == "copied"
    assert evaluation.details["golden"] == "float64"
    assert 0 < evaluation.device_s < evaluation.run_s


def test_slower_is_slower(pool):
    evaluation = judged(pool, "for _ in range(40):\n    y = self.conv(x)\nreturn y")
    assert evaluation.speedup.high < 0.3
    assert evaluation.details["timing"]["B2"]["gave_up"]


@pytest.mark.parametrize(
    ("body", "outcome", "said"),
    [
        ("y = self.conv(x)\ny[:, :, 60:] = 0\nreturn y", Outcome.WRONG_VALUES, "the tail"),
        ("return self.conv(x) * float('nan')", Outcome.WRONG_VALUES, "not a number"),
        (
            "h = x.half().float()\n"
            "w = self.conv.weight.half().float()\n"
            "return nn.functional.conv1d(h, w, self.conv.bias, padding=1)",
            Outcome.WRONG_VALUES,
            "reference's own",
        ),
        ("y = self.conv(x)\nx.zero_()\nreturn y", Outcome.WRONG_VALUES, "changes its inputs"),
        ("return torch.empty(x.shape)", Outcome.WRONG_VALUES, "elements are wrong"),
        ("return self.conv(x)[:1]", Outcome.WRONG_SHAPE, "float32[1, 32, 64]"),
        ("return [self.conv(x)]", Outcome.WRONG_SHAPE, "list of float32"),
        ("return self.conv(x).double()", Outcome.WRONG_DTYPE, "float64"),
        ("return 'tensor'", Outcome.WRONG_SHAPE, "no tensor"),
        ("return object()", Outcome.RUNTIME_ERROR, "object"),
        ("raise ValueError('no way')", Outcome.RUNTIME_ERROR, "line 14, in forward: raise Value"),
        ("raise SystemExit(0)", Outcome.RUNTIME_ERROR, "SystemExit"),
        ("return torch.ones(1 << 33)", Outcome.RUNTIME_ERROR, "memory"),
        ("from threading import Thread", Outcome.REJECTED, "line 14"),
        ("os._exit(0)", Outcome.REJECTED, "os._exit"),
        ("print('look here', flush=True)\nraise ValueError", Outcome.RUNTIME_ERROR, "look here"),
    ],
)
def test_each_mistake_has_its_outcome_and_is_explained(pool, body, outcome, said):
    evaluation = judged(pool, body)
    assert evaluation.outcome is outcome
    assert said in evaluation.diagnostics
    assert evaluation.timings == ()


def test_ending_the_process_proves_nothing(ungated):
    evaluation = judged(ungated, "getattr(os, '_exit')(0)")
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    assert "ended by itself with status 0" in evaluation.diagnostics
    assert evaluation.timings == ()


def test_a_crash_names_its_signal(pool):
    source = CPP.replace("out[i] = x[i] + 1;", "((volatile float*)8)[i] = 1;")
    evaluation = pool.evaluate_once(Candidate(number=0, source=source, language="cpp"))
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    assert "SIGSEGV" in evaluation.diagnostics
    assert evaluation.build_s > 0


@pytest.mark.compiler
def test_text_that_does_not_compile(pool):
    source = CPP.replace("long long i = 0", "lung long i = 0")
    evaluation = pool.evaluate_once(Candidate(number=0, source=source, language="cpp"))
    assert evaluation.outcome is Outcome.COMPILE_ERROR
    assert "kernel.cpp:3" in evaluation.diagnostics
    assert evaluation.checks_total == 0


@pytest.mark.compiler
def test_cpp_with_other_state_is_seeded_and_said_so(pool):
    evaluation = pool.evaluate_once(Candidate(number=0, source=CPP, language="cpp"))
    assert evaluation.outcome is Outcome.WRONG_VALUES
    assert evaluation.details["state"] == "seeded"


def test_triton_needs_its_device(pool):
    evaluation = pool.evaluate_once(conv("return self.conv(x)", language="triton"))
    assert evaluation.outcome is Outcome.REJECTED
    assert "cuda" in evaluation.diagnostics


HANGS = {
    "sleeps": "time.sleep(100)",
    "spins": "while True:\n    pass",
    "forks": "if getattr(os, 'fork')() == 0:\n    time.sleep(1000)\ntime.sleep(1000)",
}


@pytest.mark.parametrize("kind", HANGS)
def test_hanging_costs_its_own_limit(ungated, kind):
    evaluation = judged(ungated, HANGS[kind])
    assert evaluation.outcome is Outcome.TIMEOUT
    assert RUN_LIMIT_S <= evaluation.run_s < RUN_LIMIT_S + 3


def test_a_flood_of_output_is_cut(pool):
    evaluation = judged(pool, "for _ in range(300):\n    print('x' * 1_000_000)\nraise ValueError")
    assert evaluation.outcome in (Outcome.RUNTIME_ERROR, Outcome.TIMEOUT)
    assert len(evaluation.diagnostics) < 4000


def test_an_answer_made_up_is_not_believed(ungated):
    # Finds the channel among the open descriptors and answers in place of the runner.
    body = """
import json, struct, stat
text = json.dumps({"tree": {"tensor": 0}, "specs": [], "changed": [], "nonce": "0" * 16}).encode()
for fd in range(3, 64):
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            os.write(fd, struct.pack("!cI", b"J", len(text)) + text)
    except OSError:
        pass
return self.conv(x)
"""
    evaluation = judged(ungated, body)
    assert evaluation.outcome is Outcome.CHEATED
    assert "of its own making" in evaluation.diagnostics


def test_a_clock_in_the_candidates_hands_is_noticed(ungated):
    # The runner's own clock runs at a tenth of the speed.
    body = """
import sys
bench = sys.modules["fitness.bench"]
if not hasattr(bench, "slow"):
    real = time.perf_counter_ns
    bench.slow = True
    setattr(bench.time, "perf_counter_ns", lambda: real() // 10)
for _ in range(20):
    y = self.conv(x)
return y
"""
    evaluation = judged(ungated, body)
    assert evaluation.outcome is Outcome.CHEATED
    assert "reports" in evaluation.diagnostics
