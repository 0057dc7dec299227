import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evo.export import champion_text, export_champion, fix_autotune
from evo.inline import inline_loader, loader_text, rename_globals
from evo.tables import workload_rows
from populations.errors import EvoError
from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation, Outcome
from tests.evo.samples import BASELINES, SEED, kernel, passed

ROOT = Path(__file__).parents[2]
FACTS = {"computes": "twice the input", "device": "some processor", "made by": "tune of #0"}

# Names that the loader uses itself, bound to other things; none of them may disturb it.
CLASHING = SEED.replace(
    "kernels = load_cpp(SOURCE)",
    'FLAGS = "mine"\nre = 4\nhashlib: int = 5\nimport shutil as os\n\n\n'
    'def _bind():\n    return 7\n\n\nkernels = load_cpp(SOURCE)\ncompiler = "mine too"',
)

AUTOTUNED = """\
import torch
import triton
import triton.language as tl
from torch import nn


@triton.autotune(
    configs=[triton.Config({"BLOCK": b}, num_warps=w) for b in (64, 128) for w in (2, 4)],
    key=["n"],
)
@triton.jit
def twice(x, y, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + offsets, tl.load(x + offsets, mask=offsets < n) * 2, mask=offsets < n)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        n = x.numel()
        twice[lambda meta: (triton.cdiv(n, meta["BLOCK"]),)](x, y, n)
        return y
"""


def isolated(file, folder, *, code=None, env=None):
    """Run a file, or code, in a process that finds neither this project nor its tests."""
    arguments = ["-c", code] if code else [str(file)]
    done = subprocess.run(
        [sys.executable, "-I", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "EVO_CACHE_DIR": str(folder / "cache"), **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.compiler
@pytest.mark.parametrize("source", [SEED, CLASHING], ids=["plain", "clashing names"])
def test_champion_runs_alone_and_computes_what_the_kernel_computes(tmp_path, source):
    champion = tmp_path / "champion.py"
    export_champion(kernel(0, 1.42, source=source), champion, facts=FACTS)
    original = tmp_path / "original.py"
    original.write_text(source)
    assert isolated(champion, tmp_path) == ""
    # As KernelBench loads an answer: compiled and executed in a bare dictionary.
    code = f"""
import sys, torch
def values(path):
    scope = {{}}
    exec(compile(open(path).read(), "answer", "exec"), scope)
    return scope["ModelNew"]()(x)
x = torch.linspace(-3, 5, 1000)
alone = values({str(champion)!r})
assert not {{"evo", "fitness", "operators", "populations"}} & set(sys.modules)
sys.path.insert(0, {str(ROOT)!r})
with_us = values({str(original)!r})
assert "fitness.native" in sys.modules
assert torch.equal(alone, with_us) and torch.equal(alone, 2 * x)
print("same")
"""
    assert isolated(None, tmp_path, code=code) == "same\n"


def test_autotuned_champion_has_nothing_left_to_time(tmp_path):
    pytest.importorskip("triton")
    evaluation = passed(1.42)
    details = {"autotune": {"twice": {"BLOCK": 128, "num_warps": 4, "num_stages": 3}}}
    judged = Evaluation(
        Outcome.PASSED,
        1,
        1,
        timings=evaluation.timings,
        speedup=evaluation.speedup,
        details=details,
    )
    champion = tmp_path / "champion.py"
    export_champion(Kernel(Candidate(0, AUTOTUNED, "triton"), judged), champion, facts=FACTS)
    text = champion.read_text()
    assert "configs=[triton.Config({'BLOCK': 128}, num_warps=4, num_stages=3)]," in text
    assert 'key=["n"]' in text
    assert "needs torch and triton." in text
    # On a machine without a device Triton's interpreter can run it, and could time nothing.
    code = f"""
import importlib.util, torch
spec = importlib.util.spec_from_file_location("champion", {str(champion)!r})
champion = importlib.util.module_from_spec(spec)
spec.loader.exec_module(champion)
x = torch.linspace(-3, 5, 1000)
print(len(champion.twice.configs), torch.equal(champion.ModelNew()(x), 2 * x))
"""
    assert isolated(None, tmp_path, code=code, env={"TRITON_INTERPRET": "1"}) == "1 True\n"


def header(made, **arguments):
    text = champion_text(made, facts=FACTS, **arguments)
    return text.removesuffix("\n\nX = 1\n").splitlines()


def test_header_says_what_the_file_is():
    made = kernel(3, 1.5, source="X = 1\n", operator="tune", parents=(0,), note="TILE = 64")
    assert header(made) == [
        "# A kernel found by evolutionary search; plain Python, needs torch.",
        "# Use: from champion import ModelNew, constructed and called like the reference.",
        "#",
        "# speedup: 1.50x [1.46, 1.54] (95%) over the fastest baseline",
        "# fp32_B8: 0.658 ms, conv2d 0.987 ms: 1.50x [1.46, 1.54]",
        "# fp32_B32: 2.60 ms, conv2d 3.90 ms: 1.50x [1.46, 1.54]",
        "# kernel: #3, tune: TILE = 64",
        "# computes: twice the input",
        "# device: some processor",
        "# made by: tune of #0",
    ]


def test_header_shows_the_closing_measurement_alone():
    closing = passed(1.2)
    rows = workload_rows(BASELINES, None, closing)[:1]
    lines = header(kernel(3, 1.5, source="X = 1\n"), speedup=closing.speedup, table=rows)
    assert lines[3:5] == [
        "# speedup: 1.20x [1.16, 1.24] (95%) over the fastest baseline",
        "# fp32_B8: 0.823 ms, conv2d 0.987 ms: 1.20x [1.16, 1.24]",
    ]
    assert lines[5].startswith("# kernel:")
    assert not [line for line in header(kernel(3, 1.5), speedup=closing.speedup) if "1.50x" in line]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x0c", "\u2028", "\x00"])
def test_a_fact_cannot_leave_its_comment(end):
    facts = {f"a{end}import this": f"one{end}raise SystemExit  # coding: cp500{end}" * 9}
    text = champion_text(kernel(0, 1.4, source="X = 1\n"), facts=facts)
    assert [type(node) for node in ast.parse(text).body] == [ast.Assign]
    assert max(len(line) for line in text.splitlines()) <= 100


def test_rest_of_the_source_is_unchanged():
    text = champion_text(kernel(0, 1.4), facts={})
    before, after = SEED.split("from fitness.native import load_cpp\n")
    assert text.endswith(after)
    assert before.splitlines()[0] in text
    assert "TILE 32  // tune: 16, 32, 64" in text
    assert "from fitness" not in text
    assert ast.get_docstring(ast.parse(text)) == "Twice the input."


def test_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "champion.py"
    path.write_text("old")
    export_champion(kernel(0, 1.4, source="X = 'ä'\n"), path, facts={})
    assert path.read_text(encoding="utf-8").endswith("\n\nX = 'ä'\n")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "source",
    [
        "from populations.kernel import Kernel\n",
        "import evo.run\n",
        "import fitness.native\n",
        "def f():\n    from fitness.native import load_cpp\n",
        "try:\n    from fitness.native import load_cpp\nexcept ImportError: pass\n",
        "from fitness.native import load_cpp\nX = = 1\n",
    ],
)
def test_a_kernel_that_needs_more_of_us_is_refused(source):
    with pytest.raises(EvoError, match="kernel #4"):
        champion_text(kernel(4, 1.4, source=source), facts={})


LOADER = '''\
"""Loads."""

from __future__ import annotations

import os
from math import pi

HERE = os.sep
_COUNT = 0


def load_cpp(source: str) -> Path:
    """Loads `HERE`."""
    global _COUNT
    _COUNT += 1
    HERE = "local"
    return [source, HERE, _there(), _COUNT, pi]


def _there(HERE=HERE):
    return HERE


class Path:
    HERE = 1
    there = HERE
'''


def run(source):
    scope = {}
    exec(compile(source, "kernel", "exec"), scope)
    return scope


def test_module_without_loader_stays_as_it_is():
    assert inline_loader("import torch\n", loader=LOADER) == "import torch\n"


@pytest.mark.parametrize(
    "source",
    [
        "from fitness.native import load_cpp\n",
        '"""Doc."""\nfrom fitness.native import load_cpp\n',
        '"""Doc."""\n\nfrom __future__ import annotations\n\nfrom fitness.native import load_cpp\n',
        "@staticmethod\ndef f(): ...\n\n\nfrom fitness.native import load_cpp\n",
        "ä = 'ö'\nfrom fitness.native import load_cpp  # the loader\n",
        "a = 1; from fitness.native import load_cpp; b = 2\nassert (a, b) == (1, 2)\n",
        "from fitness.native import load_cpp;\n",
    ],
)
def test_loader_works_wherever_it_is_imported(source):
    text = inline_loader(f"{source}value = load_cpp('x')\n", loader=LOADER)
    assert run(text)["value"][:4] == ["x", "local", os.sep, 1]
    assert text.count("from __future__ import annotations") == 1


def test_names_of_both_are_kept_apart():
    source = (
        "from fitness.native import load_cpp, Path as Where\n"
        "HERE = 5\n_COUNT = 70\nimport cmath as pi\nimport os\n_loader_HERE = 6\n"
        "class Path: ...\nvalue = load_cpp('x')\n"
    )
    scope = run(inline_loader(source, loader=LOADER))
    assert scope["value"] == ["x", "local", os.sep, 1, 3.141592653589793]
    assert (scope["HERE"], scope["_COUNT"], scope["_loader_HERE"]) == (5, 70, 6)
    assert scope["Where"].there == 1
    assert scope["Path"] is not scope["Where"]


def test_equal_imports_do_not_clash():
    text = inline_loader("import os\nfrom fitness.native import load_cpp\n", loader=LOADER)
    assert "_loader_" not in text


def test_renaming_follows_scopes():
    text = "x = 1\ndef f(x):\n    return x\ndef g():\n    return x, f(x=2), o.x\n"
    expected = "y = 1\ndef f(x):\n    return x\ndef g():\n    return y, f(x=2), o.x\n"
    assert rename_globals(text, {"x": "y"}) == expected


def test_renaming_an_import_without_a_name_of_its_own():
    assert rename_globals("import os\nos.x\n", {"os": "o"}) == "import os as o\no.x\n"
    with pytest.raises(EvoError, match=r"os\.path"):
        rename_globals("import os.path\n", {"os": "o"})


def test_the_loader_is_complete_in_itself():
    roots = {
        (alias.name if isinstance(node, ast.Import) else node.module).partition(".")[0]
        for node in ast.walk(ast.parse(loader_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert roots <= sys.stdlib_module_names | {"torch"}


CHOICE = {"BLOCK": 64, "num_warps": 2, "num_ctas": 1, "maxnreg": None}
FIXED = "[triton.Config({'BLOCK': 64}, num_warps=2, num_ctas=1)]"


def test_known_choice_takes_the_place_of_the_list():
    assert f"configs={FIXED}," in fix_autotune(AUTOTUNED, {"twice": CHOICE})
    positional = AUTOTUNED.replace("configs=", "")
    assert f"    {FIXED}," in fix_autotune(positional, {"twice": CHOICE})


def test_choices_that_differ_are_all_kept_once():
    other = {"BLOCK": 128, "num_warps": 4}
    text = fix_autotune(AUTOTUNED, {"twice": [CHOICE, other, CHOICE]})
    assert f"{FIXED[:-1]}, triton.Config({{'BLOCK': 128}}, num_warps=4)]" in text


@pytest.mark.parametrize(
    ("source", "chosen"),
    [
        (AUTOTUNED, {}),
        (AUTOTUNED, {"another": CHOICE}),
        (AUTOTUNED, {"twice": []}),
        (AUTOTUNED.replace("num_warps=w)", "num_warps=w, pre_hook=clear)"), {"twice": CHOICE}),
        (AUTOTUNED.replace("@triton.autotune", "@autotune"), {"twice": CHOICE}),
        (AUTOTUNED.replace("@triton.autotune", "@triton.heuristics"), {"twice": CHOICE}),
    ],
)
def test_autotune_is_left_alone_when_in_doubt(source, chosen):
    assert fix_autotune(source, chosen) == source
