import pytest

from fitness.policy import Level, examine, rejections

GOOD = """
import torch
from torch import nn
from fitness.native import load_cpp

torch.backends.cudnn.benchmark = True
SOURCE = "..."
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.count = 1

    def forward(self, x):
        out = torch.empty_like(x)
        kernels.add(x, out, x.numel(), self.count)
        return out
"""


def rules(source):
    return {f.rule for f in rejections(examine(source))}


def test_an_honest_kernel_has_no_finding():
    assert examine(GOOD) == ()


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("import ctypes", "import"),
        ("import subprocess as s", "import"),
        ("from socket import socket", "import"),
        ("import urllib.request", "import"),
        ("from threading import Thread", "import"),
        ("import gc", "import"),
        ("import fitness.judge", "import"),
        ("from fitness import native", "import"),
        ("from fitness.native import subprocess", "import"),
        ("from os import system", "call"),
        ("import os\nos.system('ls')", "call"),
        ("import os\nos._exit(0)", "call"),
        ("torch.cuda.synchronize = print", "patch"),
        ("torch.Tensor.clone = lambda t: t", "patch"),
        ("import time\ntime.perf_counter_ns = int", "patch"),
        ("def broken(:", "syntax"),
        ("\0", "syntax"),
    ],
)
def test_reaching_around_the_judge_is_refused(line, rule):
    assert rules(f"{GOOD}\n{line}\n") == {rule}


def test_a_finding_names_its_line():
    (finding,) = rejections(examine("import torch\nimport ctypes\nclass ModelNew: pass\n"))
    assert finding.line == 2
    assert str(finding).startswith("line 2: ")


def test_a_module_without_model_is_refused():
    assert rules("import torch\n") == {"no-model"}


@pytest.mark.parametrize(
    "line", ["class ModelNew: pass", "ModelNew = Model", "from x import Y as ModelNew"]
)
def test_ways_to_define_the_model(line):
    assert rules(line) == set()


def test_what_is_only_odd_is_flagged():
    source = f"{GOOD}\nimport inspect\nx = eval('1')\n"
    findings = examine(source)
    assert not rejections(findings)
    assert {f.level for f in findings} == {Level.FLAG}
    assert {f.rule for f in findings} == {"import", "call"}


def test_kernelbench_extensions_are_allowed():
    findings = examine(f"from torch.utils.cpp_extension import load_inline\n{GOOD}")
    assert [f.level for f in findings] == [Level.NOTE]


def test_endless_nesting_is_a_syntax_finding():
    assert rules("x = " + "(" * 5000 + ")" * 5000) == {"syntax"}
