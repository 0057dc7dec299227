"""Honest kernels pass every question; each way to answer without computing is caught by one."""

import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from fitness.pool import LocalPool
from fitness.spec import EvaluationSpec
from populations.kernel import Candidate
from populations.outcome import Outcome

PROBLEMS = Path(__file__).parent / "problems"
SOURCE = """
import torch
from torch import nn

def compute(x, bias, slope, weight, gain):
    y = (x * gain) @ weight + bias
    return torch.where(y < 0, y * slope, y)

class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inner, outer))
        self.gain = nn.Parameter(torch.ones(inner))
        self.kept = {{}}
{init}

    def forward(self, x, bias, slope):
        weight, gain = self.weight, self.gain
{body}
"""
HONEST = {
    "the reference itself": ("return compute(x, bias, slope, weight, gain)", ""),
    "one product after the other": (
        "y = torch.zeros(x.shape[0], 16)\n"
        "for k in range(24):\n"
        "    y = y + (x[:, k : k + 1] * gain[k]) * weight[k]\n"
        "y = y + bias\n"
        "return torch.where(y < 0, y * slope, y)",
        "",
    ),
    "the other way round": (
        "y = torch.zeros(x.shape[0], 16)\n"
        "for k in reversed(range(24)):\n"
        "    y = y + x[:, k : k + 1] * (gain[k] * weight[k])\n"
        "y = y + bias\n"
        "return torch.maximum(y, y * slope)",
        "",
    ),
    "packed again when the version tells": (
        "key = (weight._version, gain._version)\n"
        "if self.kept.get('key') != key:\n"
        "    self.kept.update(key=key, packed=gain[:, None] * weight)\n"
        "y = x @ self.kept['packed'] + bias\n"
        "return torch.where(y < 0, y * slope, y)",
        "",
    ),
    "rows with gaps between them": (
        "out = torch.empty(x.shape[0], 32)\n"
        "out[:, :16] = compute(x, bias, slope, weight, gain)\n"
        "return out[:, :16]",
        "",
    ),
    "columns in memory": (
        "return compute(x, bias, slope, weight, gain).t().contiguous().t()",
        "",
    ),
    "a workspace that is not returned": (
        "work = self.kept.setdefault(x.shape, torch.empty(x.shape))\n"
        "torch.mul(x, gain, out=work)\n"
        "y = work @ weight + bias\n"
        "return torch.where(y < 0, y * slope, y)",
        "",
    ),
    "no other shape": (
        "if x.shape[0] != 8:\n    raise ValueError('made for 8 rows')\n"
        "return compute(x, bias, slope, weight, gain)",
        "",
    ),
    "no other number": (
        "if slope != 0.1:\n    raise ValueError('made for 0.1')\n"
        "return compute(x, bias, 0.1, weight, gain)",
        "",
    ),
}
# What it does: (body, more in the constructor, the least rigour that finds it, what is said)
TRICKS = {
    "one buffer for every call (B5)": (
        "out = self.kept.setdefault(x.shape, torch.empty(x.shape[0], 16))\n"
        "return out.copy_(compute(x, bias, slope, weight, gain))",
        "",
        "search",
        "must stay as it is",
    ),
    "kept by address (A2)": (
        "if x.data_ptr() not in self.kept:\n"
        "    self.kept[x.data_ptr()] = compute(x, bias, slope, weight, gain)\n"
        "return self.kept[x.data_ptr()].clone()",
        "",
        "search",
        "same memory",
    ),
    "kept by address and version (A3)": (
        "key = (x.data_ptr(), x._version)\n"
        "if key not in self.kept:\n"
        "    self.kept[key] = compute(x, bias, slope, weight, gain)\n"
        "return self.kept[key].clone()",
        "",
        "search",
        "same memory",
    ),
    "kept by object (A2)": (
        "if self.kept.get('of') is not x:\n"
        "    self.kept.update(of=x, out=compute(x, bias, slope, weight, gain))\n"
        "return self.kept['out'].clone()",
        "",
        "search",
        "same memory",
    ),
    "kept by a look at the beginning (D8)": (
        "key = tuple(x.flatten()[:16].tolist())\n"
        "if key not in self.kept:\n"
        "    self.kept[key] = compute(x, bias, slope, weight, gain)\n"
        "return self.kept[key].clone()",
        "",
        "search",
        "one row changed",
    ),
    "less precision where values look small (D4)": (
        "if x.flatten()[:32].abs().max() < 6:\n"
        "    x = torch.where(x.abs() > 6, x.bfloat16().float(), x)\n"
        "return compute(x, bias, slope, weight, gain)",
        "",
        "search",
        "mixed amplitudes",
    ),
    "clamped where values are unusual (D5)": (
        "return compute(x.clamp(-6, 6), bias, slope, weight, gain)",
        "",
        "search",
        "mixed amplitudes",
    ),
    "packed at construction (B9)": (
        "y = x @ self.packed + bias\nreturn torch.where(y < 0, y * slope, y)",
        "self.register_buffer('packed', self.gain[:, None].detach() * self.weight.detach(), "
        "persistent=False)",
        "search",
        "changed in place",
    ),
    "parameter kept but not used (D10)": (
        "return compute(x, bias, slope, weight, torch.ones(24))",
        "",
        "search",
        "changed in place",
    ),
    "parameter left out (D10)": (
        "return compute(x, bias, slope, weight, torch.ones(24))",
        "del self.gain\nself.gain = None",
        "search",
        "'gain'",
    ),
    "argument not used (D9)": (
        "return compute(x, 0.25, slope, weight, gain)",
        "",
        "thorough",
        "",
    ),
    "number not used (D9)": (
        "return compute(x, bias, 0.1, weight, gain)",
        "",
        "thorough",
        "argument 2",
    ),
    "wrong for other shapes (D7)": (
        "out = torch.zeros(x.shape[0], 16)\n"
        "out[:8] = compute(x[:8], bias, slope, weight, gain)\n"
        "return out",
        "",
        "thorough",
        "rows=9",
    ),
    "lazy subclass (B3)": (
        "class Lazy(torch.Tensor):\n    pass\n"
        "return compute(x, bias, slope, weight, gain).as_subclass(Lazy)",
        "",
        "search",
        "a plain tensor is needed",
    ),
    "methods of its own (B4)": (
        "out = torch.empty(x.shape[0], 16)\n"
        "out.detach = lambda: compute(x, bias, slope, weight, gain)\n"
        "return out",
        "",
        "search",
        "with its own detach",
    ),
    "left to the reader": (
        "return torch._neg_view(-compute(x, bias, slope, weight, gain))",
        "",
        "search",
        "whoever reads it",
    ),
    "on another device": (
        "return compute(x, bias, slope, weight, gain).to('meta')",
        "",
        "search",
        "",
    ),
    "sparse": (
        "return compute(x, bias, slope, weight, gain).to_sparse()",
        "",
        "search",
        "layout",
    ),
    "inputs changed through an alias (D15)": (
        "out = compute(x, bias, slope, weight, gain)\n"
        "x.view(-1)[0] = 0\n"
        "x.contiguous = lambda: x + 1\n"
        "return out",
        "",
        "search",
        "changes its inputs",
    ),
}


@pytest.fixture(scope="module")
def pools(tmp_path_factory):
    spec = EvaluationSpec(
        problem=PROBLEMS / "affine.py",
        cache_dir=tmp_path_factory.mktemp("cache"),
        baselines=("eager",),
        pairs=5,
        timing_budget_s=0.001,
        workers=1,
        run_limit_s=10.0,
        gate=False,
        give_up_below=0.9,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("locks")))
        with (
            LocalPool(spec, secret=3) as search,
            LocalPool(replace(spec, rigour="thorough"), secret=4) as thorough,
        ):
            yield {"search": search, "thorough": thorough}


def source(body, init=""):
    return SOURCE.format(body=textwrap.indent(body, " " * 8), init=textwrap.indent(init, " " * 8))


def judged(pool, body, init=""):
    return pool.evaluate_once(Candidate(number=0, source=source(body, init), language="python"))


@pytest.mark.parametrize("name", HONEST)
def test_honest_kernels_pass_every_question(pools, name):
    evaluation = judged(pools["thorough"], *HONEST[name])
    # What its time came to says nothing here: a neighbour may have disturbed it.
    assert evaluation.checks_passed == evaluation.checks_total, evaluation.diagnostics
    asked = evaluation.details["questions"]
    skipped = [n for n, text in asked["distributions"].items() if text != "passed"]
    assert skipped in ([], ["largest numbers"])
    *tensors, number = asked["each argument"].values()
    assert tensors == ["passed", "passed"]
    assert number.startswith("refused: raised" if name == "no other number" else "passed")
    assert asked["changed weights"] == {"all": "passed", "weight": "passed", "gain": "passed"}
    refused = "refused: raised on workload" if name == "no other shape" else "passed"
    assert all(text.startswith(refused) for text in asked["held-out shapes"].values())
    assert list(asked["held-out shapes"]) == ["rows=1", "rows=7", "rows=9"]


@pytest.mark.parametrize("name", TRICKS)
def test_tricks_are_caught(pools, name):
    body, init, rigour, said = TRICKS[name]
    evaluation = judged(pools[rigour], body, init)
    assert evaluation.checks_passed < evaluation.checks_total
    assert said in evaluation.diagnostics, evaluation.diagnostics


def test_an_overflow_of_its_own_is_a_weakness(pools):
    body = (
        "big = x.abs().amax()\n"
        "return compute(x, bias, slope, weight, gain) + (big * big - big * big)"
    )
    evaluation = judged(pools["thorough"], body)
    assert evaluation.checks_passed == evaluation.checks_total, evaluation.diagnostics
    asked = evaluation.details["questions"]["distributions"]
    assert asked["largest numbers"].startswith("weak: overflows")


def test_noise_within_the_tolerance_is_reported(pools):
    body = (
        "out = compute(x, bias, slope, weight, gain)\n"
        "self.kept[0] = self.kept.get(0, 0) + 1\n"
        "return out * (1 + self.kept[0] % 7 * 2e-7)"
    )
    evaluation = judged(pools["search"], body)
    assert evaluation.checks_passed == evaluation.checks_total, evaluation.diagnostics
    assert 0 < evaluation.details["questions"]["same memory"]["largest difference"] < 1e-5


def test_noise_is_wrong_where_answers_must_be_equal(pools, tmp_path):
    body = (
        "out = compute(x, bias, slope, weight, gain)\n"
        "self.kept[0] = self.kept.get(0, 0) + 1\n"
        "return out * (1 + self.kept[0] * 2e-7)"
    )
    with LocalPool(replace(pools["search"].spec, determinism="bitwise"), secret=5) as pool:
        evaluation = judged(pool, body)
        assert evaluation.outcome is Outcome.WRONG_VALUES
        assert "two answers to the same inputs differ" in evaluation.diagnostics
        evaluation = judged(pool, "return compute(x, bias, slope, weight, gain)")
        assert evaluation.checks_passed == evaluation.checks_total, evaluation.diagnostics


def test_other_policies(pools):
    spec = replace(pools["thorough"].spec, held_out="require", allow_packed_weights=True)
    with LocalPool(spec, secret=6) as pool:
        evaluation = judged(pool, *HONEST["no other shape"])
        assert evaluation.outcome is Outcome.RUNTIME_ERROR
        assert "which was not asked for" in evaluation.diagnostics
        evaluation = judged(pool, *HONEST["no other number"])
        assert evaluation.outcome is Outcome.RUNTIME_ERROR
        assert "made for 0.1" in evaluation.diagnostics
        body, init, _, _ = TRICKS["packed at construction (B9)"]
        evaluation = judged(pool, body, init)
        assert evaluation.checks_passed == evaluation.checks_total, evaluation.diagnostics


SHARES = """
import torch
from torch import nn

from fitness.native import load_cpp

SOURCE = r'''
extern "C" float expf(float);

extern "C" void shares(const float* x, float* out, long long rows, long long columns) {
    for (long long r = 0; r < rows; ++r, x += columns, out += columns) {
        float top = x[0], low = x[0], sum = 0;
        for (long long c = 1; c < columns; ++c) top = x[c] > top ? x[c] : top;
        for (long long c = 1; c < columns; ++c) low = x[c] < low ? x[c] : low;
        for (long long c = 0; c < columns; ++c) out[c] = expf(x[c] - top - 0.25f);
        for (long long c = 0; c < columns; ++c) sum += out[c];
        for (long long c = 0; c < columns; ++c) out[c] /= sum;
        if (top == low) for (long long c = 0; c < columns; ++c) out[c] = CONSTANT;
    }
}
'''
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        kernels.shares(x, out, x.shape[0], x.shape[1])
        return out
"""


@pytest.mark.compiler
def test_one_accumulator_for_many_equal_numbers_is_a_weakness(pools, tmp_path):
    spec = replace(
        pools["thorough"].spec, problem=PROBLEMS / "shares.py", cache_dir=tmp_path, seeds=1
    )
    kernels = {c: SHARES.replace("CONSTANT", c) for c in ("out[c]", "0.99f * out[c]")}
    with LocalPool(spec, secret=7) as pool:
        honest, wrong = [pool.evaluate_once(Candidate(0, k, "cpp")) for k in kernels.values()]
    assert honest.checks_passed == honest.checks_total > 0, honest.diagnostics
    asked = honest.details["questions"]["distributions"]
    assert asked["zeros"] == "weak: rounding of equal numbers adds up"
    assert asked["sorted"] == "passed"
    assert wrong.outcome is Outcome.WRONG_VALUES
    assert "constant rows" in wrong.diagnostics
