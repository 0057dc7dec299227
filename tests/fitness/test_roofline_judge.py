"""The roofline in a judgement: what cannot be is CHEATED, and no old number accuses anybody."""

import json
import math

import pytest

from fitness import ceilings
from fitness.ceilings import Ceilings, Level
from fitness.pool import LocalPool
from fitness.spec import EvaluationSpec
from populations.kernel import Candidate
from populations.outcome import Outcome

# Eager, it passes over its input a hundred times; one pass is enough.
PROBLEM = """
import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        for _ in range(100):
            x = x * 1.0 + 0.0
        return x * 2


def get_inputs():
    return [torch.randn(1 << 19)]


def get_init_inputs():
    return []


def get_cost(inputs):
    return {{"bytes": {times} * 8.0 * inputs[0].numel()}}
"""
KERNEL = """
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x * 2
"""
CANDIDATE = Candidate(0, KERNEL, "python")


@pytest.fixture
def spec(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def make(times):
        (tmp_path / "problem.py").write_text(PROBLEM.format(times=times))
        return EvaluationSpec(
            problem=tmp_path / "problem.py",
            cache_dir=tmp_path / "cache",
            baselines=("eager",),
            pairs=5,
            timing_budget_s=0.1,
            workers=1,
        )

    return make


@pytest.mark.compiler
def test_faster_than_the_work_that_is_stated_is_cheated(spec):
    # Far more is stated than has to be moved: whoever is right by one pass has not moved it.
    with LocalPool(spec(100)) as pool:
        evaluation = pool.evaluate_once(CANDIDATE)
    assert evaluation.outcome is Outcome.CHEATED
    assert "is faster than this device can be: of 419.4 MB to be moved" in evaluation.diagnostics
    assert "with a margin of 1.5 at least" in evaluation.diagnostics


@pytest.mark.compiler
def test_a_ceiling_that_is_too_low_accuses_nobody(spec):
    settings = spec(1)
    # As if the machine had been busy all the time that it was measured.
    slow = Ceilings("x", (Level("L1", 1e3, 1e9), Level("memory", math.inf, 1e9)), {}, 0.0)
    file = ceilings._file(settings)
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(slow.to_json()))
    with LocalPool(settings) as pool:
        evaluation = pool.evaluate_once(CANDIDATE)
    assert evaluation.passed, evaluation.diagnostics
    share = evaluation.details["roofline"]["default"]["share"]
    assert 0 < share < 1.5
    # Measured again, the better of both numbers is kept.
    assert ceilings.kept(settings).levels[-1].bytes_per_s > 1e9


@pytest.mark.compiler
def test_an_evaluation_tells_where_its_time_went(spec):
    with LocalPool(spec(1)) as pool:
        evaluation = pool.evaluate_once(CANDIDATE)
        wrong = pool.evaluate_once(Candidate(1, KERNEL.replace("* 2", "* 3"), "python"))
    stages = evaluation.details["stages"]
    assert {"build", "start", "construct", "check", "time", "end", "roofline"} <= set(stages)
    assert stages["time"]["device_s"] > 0
    assert all(0 <= s["device_s"] <= s["wall_s"] + 1e-3 for s in stages.values())
    assert evaluation.device_s <= sum(s["device_s"] for s in stages.values())
    assert evaluation.details["timing"]["default"]["telemetry"]["samples"] in (0, 2)
    assert wrong.outcome is Outcome.WRONG_VALUES
    assert {"construct", "end"} <= set(wrong.details["stages"])
    assert "time" not in wrong.details["stages"]
