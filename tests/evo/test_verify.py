"""What `evo verify` says of a kernel, and of what is no kernel at all."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from evo.export import champion_text
from evo.verify import WORDS, lines, main, verdict_of
from fitness.problem import ProblemFacts, WorkloadFacts
from fitness.report import FinalReport, WorkloadReport
from fitness.sandbox.layers import Layer
from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation, Outcome, Speedup, Timing

PROBLEM = """
import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        y = x * 1.5 + 0.5
        y = y / (1 + y.abs())
        return y - 0.25 * x * x


def get_inputs(rows=128):
    return [torch.randn(rows, 4096)]


def get_init_inputs():
    return []


WORKLOADS = {"small": {"rows": 16}, "large": {"rows": 64}}
"""
KERNEL = '''
import torch
from torch import nn

from fitness.native import load_cpp

SOURCE = r"""
extern "C" void run(const float* x, float* out, long n) {
    for (long i = 0; i < n; i++) {
        float y = x[i] * 1.5f + 0.5f;
        out[i] = y / (1 + (y < 0 ? -y : y)) - 0.25f * x[i] * x[i];
    }
}
"""
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        kernels.run(x, out, x.numel())
        return out
'''
FACTS = {
    "device": "cpu",
    "processor": "a processor",
    "threads": 1,
    "torch": "2",
    "python": "3",
    "tf32": False,
    "cache": "warm",
    "graph": False,
}


def timing(speedup, workload="w", baseline="eager"):
    return Timing(workload, baseline, 1.0, speedup.value, speedup, (speedup.log,))


def report(speedup, control=(1.0, 0.99, 1.01), **changes):
    found = Speedup(*speedup)
    entry = WorkloadReport(
        workload="w",
        times_ms={"candidate": 1.0, "control": 1.0, "eager": found.value},
        timings=(timing(found),),
        seed=None,
        seed_speedup=None,
        control=Speedup(*control),
        samples_ms={},
        facts={"kept": 40, "telemetry": {"samples": 2, "mhz": [2000.0, 2000.0, 2000.0]}},
    )
    whole = FinalReport(
        Outcome.PASSED,
        checks_passed=7,
        checks_total=7,
        workloads=(entry,),
        speedup=found,
        details={**FACTS, "roofline": {"w": {"share": 0.25}}},
    )
    return replace(whole, **changes)


def shown(found, layers=()):
    workload = WorkloadFacts("w", ("float32[4]",), 16, "float32")
    problem = ProblemFacts("p", (workload,), ("eager",), 0, ("float32[4]",), False)
    named = {layer.name: layer for layer in layers}
    return "\n".join(lines(verdict_of(found), found, problem, named))


def test_right_and_faster_is_verified():
    verdict = verdict_of(report((1.5, 1.4, 1.6)))
    assert (verdict.word, verdict.exit_status) == ("VERIFIED", 0)
    assert "1.50x [1.40, 1.60]" in verdict.reason


@pytest.mark.parametrize("speedup", [(0.8, 0.7, 0.9), (1.1, 0.99, 1.2)])
def test_right_and_not_surely_faster(speedup):
    verdict = verdict_of(report(speedup))
    assert (verdict.word, verdict.exit_status) == ("NOT FASTER", 1)
    assert "against itself" not in verdict.reason


def test_faster_by_less_than_it_is_than_itself():
    verdict = verdict_of(report((1.05, 1.04, 1.06), control=(0.93, 0.92, 0.94)))
    assert verdict.word == "NOT FASTER"
    assert "within what the kernel shows against itself (0.93x [0.92, 0.94])" in verdict.reason
    assert any("against itself" in remark for remark in verdict.remarks)


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.PASSED])
def test_every_other_outcome_has_its_word_and_its_reason(outcome):
    verdict = verdict_of(FinalReport(outcome, diagnostics="because"))
    assert (verdict.word, verdict.reason, verdict.exit_status) == (WORDS[outcome], "because", 1)


def test_what_a_reader_should_know_is_among_the_remarks():
    slow = report((1.2, 1.1, 1.3))
    (entry,) = slow.workloads
    speedup = Speedup(0.5, 0.4, 0.6)
    telemetry = {"samples": 4, "throttled": 3, "throttled_by": ["power cap"]}
    entry = replace(entry, timings=(timing(speedup),), facts={"kept": 8, "telemetry": telemetry})
    questions = {"held-out shapes": {"n=7": "refused: raised ValueError", "n=8": "passed"}}
    found = replace(
        slow,
        workloads=(entry,),
        failed_baselines={"w": {"compile": "no\ncompiler"}},
        details={**slow.details, "state": "seeded", "questions": questions, "policy": ["note: x"]},
    )
    text = "\n".join(verdict_of(found, ["zeros are near"]).remarks)
    for part in (
        "the problem: zeros are near",
        "w: slower than eager, 0.50x [0.40, 0.60]",
        "3 of 4 samples throttled (power cap)",
        "compile was not measured: no compiler",
        "n=7 is not supported",
        "other names than the reference's",
        "note: x",
    ):
        assert part in text
    assert "n=8" not in text


def test_everything_that_was_done_is_printed():
    questions = {"distributions": {"shifted": "passed", "ties": "skipped: no"}}
    found = report((1.5, 1.4, 1.6))
    found = replace(
        found, details={**found.details, "golden": "float64", "questions": questions, "tf32": True}
    )
    layers = [Layer("seccomp", on=True), Layer("cgroup", on=False, detail="not mounted")]
    text = shown(found, layers)
    for part in (
        "verdict     VERIFIED: right, and 1.50x",
        "7 of 7 questions",
        "float64",
        "distributions: shifted\n",
        "distributions: ties: skipped: no",
        "40 rounds per workload",
        "caches warm",
        "no CUDA graph",
        "in float32; TF32 allowed",
        "a processor, 1 thread",
        "2000 MHz",
        "25%",
        "confined    seccomp\n",
        "not: cgroup",
    ):
        assert part in text, text


def test_a_failure_is_printed_with_its_lines():
    text = shown(FinalReport(Outcome.WRONG_VALUES, "differs\n  at [0]", 1, 3))
    assert text.startswith("verdict     WRONG: differs\n              at [0]\n")
    assert "1 of 3 questions" in text
    assert "confined    by nothing" in text


BAD = {
    "no such file": ({}, [], "kernel.py: neither a kernel's file nor a run directory"),
    "no ModelNew": ({"kernel.py": "x = 1\n"}, [], "kernel.py: there is no ModelNew"),
    "no Python": ({"kernel.py": "def f(:\n"}, [], "kernel.py:1: "),
    "no problem": ({"kernel.py": KERNEL}, [], "problem.py: no such problem file"),
    "workload": ({"kernel.py": KERNEL, "problem.py": PROBLEM}, ["--workloads=larg"], '"large"?'),
    "baseline": ({"kernel.py": KERNEL, "problem.py": PROBLEM}, ["--baselines=x"], 'has no "x"'),
    "no folder": ({"kernel.py": KERNEL}, ["--json=/nowhere/x.json"], "no such folder"),
    "few pairs": ({"kernel.py": KERNEL}, ["--pairs=1"], "--pairs must be at least 10"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=list(BAD))
def test_bad_input_is_one_line_and_status_2(tmp_path, capsys, case):
    files, more, message = case
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    kernel, problem = str(tmp_path / "kernel.py"), str(tmp_path / "problem.py")
    assert main([kernel, "--problem", problem, "--device", "cpu", *more]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1


@pytest.mark.compiler
def test_a_champions_own_file_is_verified_and_a_wrong_one_is_not(tmp_path, capsys):
    (tmp_path / "problem.py").write_text(PROBLEM)
    speedup = Speedup(2.0, 1.9, 2.1)
    evaluation = Evaluation(Outcome.PASSED, 1, 1, timings=(timing(speedup),), speedup=speedup)
    champion = Kernel(Candidate(0, KERNEL, "cpp"), evaluation)
    (tmp_path / "champion.py").write_text(champion_text(champion, facts={}))
    (tmp_path / "wrong.py").write_text(KERNEL.replace("0.25f *", "0.2501f *"))
    common = ["--problem", str(tmp_path / "problem.py"), "--device", "cpu", "--threads", "1"]
    common += ["--baselines", "eager", "--workloads", "small", "--pairs", "10"]
    assert main([str(tmp_path / "champion.py"), *common, "--json", str(tmp_path / "out.json")]) == 0
    text = capsys.readouterr().out
    assert text.startswith("verdict     VERIFIED: ")
    assert "held-out shapes" in text
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["verdict"] == "VERIFIED"
    assert found["workloads"][0]["samples_ms"]["eager"]
    assert found["source"].count("load_cpp") >= 2
    assert main([str(tmp_path / "wrong.py"), *common]) == 1
    assert capsys.readouterr().out.startswith("verdict     WRONG: ")
