"""Problems that cannot tell right from wrong are refused with the reason; others are not."""

from dataclasses import replace

import pytest

from fitness.degenerate import examine
from fitness.findings import Findings, require
from fitness.pool import LocalPool
from fitness.problem import Problem
from fitness.spec import EvaluationSpec
from populations.errors import ProblemError

PROBLEM = """
import torch
from torch import nn
import torch.nn.functional as F

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(12, 10)
        self.scale = nn.Parameter(torch.ones(10))

    def forward(self, x, y):
        {body}

def get_inputs():
    return [{x}, torch.rand(6, 10)]

def get_init_inputs():
    return []
"""
DRAWN = "torch.randn(6, 12)"
SOUND = [
    "return self.linear(x) * self.scale + y",
    "return (self.linear(x) * self.scale + y).softmax(-1) * 1e-6",
    "return (self.linear(x) * self.scale - y).relu()",
    "return torch.stack([self.linear(x).mean() * self.scale.sum(), y.amax()])",
    "h = self.linear(x) * self.scale + y\n        return h.argmax(-1), h.amax(-1)",
    "return F.cross_entropy(self.linear(x) * self.scale, y.softmax(-1))",
]
REFUSED = {
    "exactly zero": ("return (self.linear(x) * y).abs().clamp(max=0) * self.scale", DRAWN, "zero"),
    "zero but for rounding": (
        "h = F.group_norm(self.linear(x) * 9, 2)\n        return h.mean(1) * y.amax()",
        DRAWN,
        "made of rounding",
    ),
    "constant": (
        "return (self.linear(x) + y).softmax(-1).sum(-1) * self.scale.sum()",
        DRAWN,
        "a constant does",
    ),
    "no input matters": ("return self.linear.weight * 2 + self.scale[:, None]", DRAWN, "depend"),
    "one input ignored": (
        "return self.linear(x) * self.scale + 0 * y",
        DRAWN,
        "input tensor 1",
    ),
    "input hidden by a saturated function": (
        "return torch.sigmoid(self.linear(x) * self.scale) + 0 * y + (y + 100).tanh()",
        DRAWN,
        "input tensor 1",
    ),
    "weights multiplied by zeros": (
        "return x[:, :10] * self.scale + y + self.linear(x) * 0",
        DRAWN,
        "parameter 'linear.weight'",
    ),
    "the same inputs always": ("return self.linear(x) * self.scale", "torch.ones(6, 12)", None),
    "not finite": ("return (self.linear(x) - 99).log() + y", DRAWN, "not finite"),
    "decided by rounding": (
        "h = self.linear(x) * self.scale + y\n        return (h * 1e7).sin()",
        DRAWN,
        "made of rounding",
    ),
    "random": ("return F.dropout(self.linear(x) * self.scale) + y", DRAWN, "differently"),
}


def findings(tmp_path, body, x=DRAWN, extra=""):
    path = tmp_path / "problem.py"
    path.write_text(PROBLEM.format(body=body, x=x) + extra)
    return examine(Problem(path), "default", "cpu", (3, 4))


@pytest.mark.parametrize("body", SOUND)
def test_sound_problems_are_taken(tmp_path, body):
    assert findings(tmp_path, body).refused == []


@pytest.mark.parametrize("name", REFUSED)
def test_degenerate_problems_are_refused_with_the_reason(tmp_path, name):
    body, x, said = REFUSED[name]
    refused = findings(tmp_path, body, x).refused
    assert refused
    if said is not None:
        assert any(part in text for part in said.split("|") for text in refused), refused


def test_a_comparison_close_to_the_inputs_is_noted(tmp_path):
    body = "return self.linear(x) * self.scale + y + (x[:, :10] * 65536).frac()"
    found = findings(tmp_path, body)
    assert found.refused == []
    assert any("a right kernel may fail" in note for note in found.notes)


def test_the_same_inputs_for_every_seed(tmp_path):
    extra = "\ndef get_inputs():\n    torch.manual_seed(0)\n    return [torch.randn(6, 12)] * 2\n"
    found = findings(tmp_path, "return self.linear(x) * self.scale + y.mean()", extra=extra)
    assert "same inputs for every seed" in found.refused[0]


def test_a_bias_that_cancels_is_only_noted(tmp_path):
    body = "return F.group_norm(self.linear(x) * 3, 1) * self.scale + y"
    found = findings(tmp_path, body.replace("x) * 3", "x) + self.linear.bias.mean() * 3"))
    assert found.refused == []
    extra = "\nclass Model(Model):\n    def forward(self, x, y):\n"
    extra += "        h = F.linear(x, self.linear.weight) + self.linear.bias.sum()\n"
    extra += "        return F.layer_norm(h, (10,)) * self.scale + y\n"
    found = findings(tmp_path, "return x", extra=extra)
    assert found.refused == []
    assert any("'linear.bias'" in note for note in found.notes)


def test_a_tolerance_wider_than_the_output(tmp_path):
    body = "return (self.linear(x) * self.scale + y).softmax(-1) * 1e-6"
    found = findings(tmp_path, body, extra="\nTOLERANCE = (1e-2, 1e-2)\n")
    assert "smaller than the error that TOLERANCE allows" in found.refused[0]


def test_a_tolerance_that_the_reference_breaks(tmp_path):
    body = "return self.linear(x) * self.scale + y"
    found = findings(tmp_path, body, extra="\nTOLERANCE = (0, 1e-12)\n")
    assert "outside its own TOLERANCE" in found.refused[0]


def test_a_pool_refuses_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    body, x, said = REFUSED["zero but for rounding"]
    path = tmp_path / "problem.py"
    path.write_text(PROBLEM.format(body=body, x=x))
    spec = EvaluationSpec(problem=path, cache_dir=tmp_path / "cache", baselines=("eager",))
    with LocalPool(spec) as pool:
        with pytest.raises(ProblemError, match=said) as caught:
            pool.check()
        assert "allow_degenerate = true" in str(caught.value)
        assert "\n" not in str(caught.value)
        with pytest.raises(ProblemError, match="no such"):
            LocalPool.examine_problem(_with_file(pool, tmp_path / "missing.py"))


def _with_file(pool, path):
    # Another problem in the same pool saves the start of one.
    pool.spec = replace(pool.spec, problem=path)
    pool._findings = None
    return pool


def test_allowed_all_the_same(tmp_path):
    spec = EvaluationSpec(problem=tmp_path / "p.py", cache_dir=tmp_path)
    found = Findings(refused=["zeros would pass"])
    with pytest.raises(ProblemError, match="zeros would pass"):
        require(found, spec)
    require(found, replace(spec, allow_degenerate=True))
    require(Findings(notes=["a note"]), spec)
