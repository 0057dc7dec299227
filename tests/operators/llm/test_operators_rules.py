"""The system message is true: its examples are accepted, what it calls refused is refused."""

import re
import textwrap

import pytest

from fitness import policy
from fitness.native import extra_flags
from operators.llm.operators.base import system_text
from operators.llm.prompts import template
from populations.parameters import parameters
from populations.source import cpp_sources

SYSTEM = " ".join(system_text(("cpp", "triton"), "format_module").split())
MODEL = "\nclass ModelNew:\n    pass\n"


def examples(name: str) -> str:
    """The indented examples of a template."""
    lines = template(name).splitlines()
    shown = [line for line in lines if line.startswith("    ") or not line]
    return textwrap.dedent("\n".join(shown))


def test_marks_are_written_as_they_are_read():
    found = {p.name: (p.value, p.choices) for p in parameters(examples("system"))}
    assert found == {"BLOCK": (64, (32, 64, 128)), "TILE": (64, (16, 32, 64))}


def test_the_example_in_cpp_is_accepted():
    source = examples("language_cpp").strip() + MODEL
    (cpp,) = cpp_sources(source)
    assert 'extern "C" void scale(' in cpp.text
    assert not policy.rejections(policy.examine(source))
    (flags,) = re.findall(r"`(// flags: [^`]*)`", template("language_cpp").replace("\n", " "))
    assert extra_flags(flags + "\n")


MODULES = re.search(r"no ((?:\w+, )+\w+) or anything", SYSTEM)[1].split(", ")


@pytest.mark.parametrize("module", [*MODULES, "operators", "evo", "fitness.policy"])
def test_imports_that_are_said_to_be_refused_are(module):
    assert len(MODULES) == 9
    assert policy.rejections(policy.examine(f"import {module}{MODEL}"))


@pytest.mark.parametrize(
    "said",
    [
        "import os\nos.fork()",
        "import time\ntime.sleep(1)",
        "import sys\nsys._getframe()",
        "f = (lambda: 1).__globals__",
        "import torch\ntorch.add = None",
        "import torch\nclass T(torch.Tensor):\n    def __torch_function__(self): ...",
        "import threading\nthreading.Thread(target=print).start()",
        "import subprocess\nsubprocess.run(['true'])",
        "import torch\ntorch.cuda.memory.change_current_allocator(None)",
        "import sys\nsys.modules['fitness']",
    ],
)
def test_what_is_said_to_be_refused_is(said):
    assert policy.rejections(policy.examine(said + MODEL))
    assert not policy.rejections(policy.examine(MODEL))


@pytest.mark.parametrize(
    "body",
    [
        "dlopen(0, 1);",
        "pthread_create(0, 0, 0, 0);",
        "signal(2, 0);",
        "fesetround(0);",
        "syscall(1);",
    ],
)
def test_what_is_said_to_be_refused_in_cpp_is(body):
    source = (
        'from fitness.native import load_cpp\nSOURCE = r"""\nextern "C" void f() { BODY }\n"""\n'
    )
    source += "kernels = load_cpp(SOURCE)" + MODEL
    assert policy.rejections(policy.examine(source.replace("BODY", body)))
    assert not policy.rejections(policy.examine(source.replace("BODY", "")))
