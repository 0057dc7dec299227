"""What compiles to the same code is not judged twice; what does not is."""

import ast
import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from fitness.binaries import KEY, SAME, Binaries, Repeat, cpp_key, triton_key
from fitness.diagnostics import loaded
from fitness.pool import LocalPool
from fitness.spec import EvaluationSpec
from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation, Outcome
from tests.contracts.samples import TRITON, passed

ADD = '''
import torch
from torch import nn
from fitness.native import load_cpp

SOURCE = r"""
extern "C" void add(const float *a, const float *b, float *out, long long n) {
    for (long long i = 0; i < n; ++i) out[i] = a[i] + b[i];
}
"""
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.empty_like(a)
        kernels.add(a, b, out, a.numel())
        return out
'''


@pytest.fixture(autouse=True)
def locks_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def spec(tmp_path, **changes):
    settings = {"baselines": ("eager",), "pairs": 5, "timing_budget_s": 0.02, "workers": 1}
    problem = Path(__file__).parent / "problems" / "add.py"
    return EvaluationSpec(
        problem=problem, cache_dir=tmp_path, **{**settings, "reuse_binaries": True, **changes}
    )


def candidates(*sources):
    return [Candidate(n, source, "cpp") for n, source in enumerate(sources)]


def test_the_same_code_gets_the_same_result(tmp_path):
    same = ADD.replace("a[i] + b[i]", "(a[i] + b[i]) * 1.0f")
    other = ADD.replace("a[i] + b[i]", "a[i] + b[i] + 0.5f * a[i] - 0.5f * a[i]")
    host = ADD.replace("empty_like", "zeros_like")
    wrong = ADD.replace("a[i] + b[i]", "a[i] - b[i]")
    wrong_again = ADD.replace("a[i] + b[i]", "-b[i] + a[i]")
    texts = candidates(ADD, same, other, host, wrong, wrong_again)
    with LocalPool(spec(tmp_path)) as pool:
        found = [pool.evaluate_once(c) for c in texts]
        again = pool.evaluate_once(replace(texts[1], number=9))
    with LocalPool(spec(tmp_path)) as pool:
        pool.adopt_judged([Kernel(texts[0], found[0])])
        later = pool.evaluate_once(replace(texts[1], number=7))
    with LocalPool(spec(tmp_path, reuse_binaries=False)) as pool:
        plain = pool.evaluate_once(texts[1])
    assert [e.outcome for e in found] == [Outcome.PASSED] * 4 + [Outcome.WRONG_VALUES] * 2
    assert [e.details.get(SAME) for e in found] == [None, 0, None, None, None, 4]
    assert found[1].timings == found[0].timings
    assert found[1].device_s == 0.0
    assert found[1].details[KEY] == found[0].details[KEY]
    assert len({e.details[KEY] for e in found}) == 4
    # A text that is judged once more is measured once more.
    assert SAME not in again.details
    assert again.timings != found[0].timings
    assert later.details[SAME] == 0
    assert later.timings == found[0].timings
    assert not {KEY, SAME} & set(plain.details)


def test_a_key_of_cpp_holds_the_host_and_how_arguments_are_passed(tmp_path):
    library = tmp_path / "kernel.so"
    library.write_bytes(b"code")

    def key(source):
        return cpp_key(Candidate(0, source, "cpp"), [library])

    assert key(ADD) == key(ADD.replace("i <", "i  <")) == key("# said\n" + ADD)
    assert key(ADD) != key(ADD.replace("a.numel()", "b.numel()"))
    assert key(ADD) != key(ADD.replace("long long n)", "float n)"))
    before = key(ADD)
    library.write_bytes(b"other code")
    assert key(ADD) != before
    assert cpp_key(Candidate(0, ADD, "cpp"), []) == ""
    assert cpp_key(Candidate(0, ADD, "cpp"), [tmp_path / "none"]) == ""


def test_a_key_of_triton_leaves_out_the_bodies_that_were_compiled():
    def key(source, *codes):
        return triton_key(Candidate(0, source, "triton"), [{"code": c} for c in codes])

    body = TRITON.replace("total += step", "total = total + step")
    assert ast.dump(ast.parse(body)) != ast.dump(ast.parse(TRITON))
    assert key(TRITON, "a", "b") == key(body, "b", "a") != ""
    assert key(TRITON, "a") != key(TRITON, "b")
    assert key(TRITON, "a") != key(TRITON.replace("WARPS = 4", "WARPS = 8"), "a")
    assert key(TRITON, "a") != key(TRITON.replace("@triton.jit", "@triton.jit()"), "a")
    plain = TRITON.replace("@triton.jit\n", "")
    assert key(plain, "a") != key(plain.replace("total += step", "total -= step"), "a")
    for unknown in ([], [{}], [{"code": 1}], [{"code": "a"}, {}], None, [{"code": "a"}] * 16):
        assert triton_key(Candidate(0, TRITON, "triton"), unknown) == ""
    assert key("class (", "a") == ""


def test_what_is_not_given_and_what_is_asked_again():
    found = Binaries()
    one, two = candidates("a", "b")
    assert found.known(one) == frozenset()
    timeout = Evaluation(Outcome.TIMEOUT, details={KEY: "t"})
    assert found.settled(one, timeout) is timeout
    assert found.known(two) == frozenset()
    first = replace(passed(2.0), details={KEY: "k"}, device_s=1.0)
    found.settled(one, first)
    assert found.known(Candidate(3, "c", "cpp")) == {"k"}
    assert found.known(two) == frozenset()
    given = found.settled(two, Repeat("k", build_s=3.0, run_s=4.0))
    assert given == replace(
        first, build_s=3.0, run_s=4.0, device_s=0.0, details={KEY: "k", SAME: 0}
    )
    # The first one stands, also where a later session hears of a copy before it.
    later = Binaries()
    later.adopt([Kernel(two, given), Kernel(replace(one, number=5), first)])
    assert later.settled(two, Repeat("k", 0.0, 0.0)).details[SAME] == 5


KERNEL = """
import triton
import triton.language as tl
{above}

@triton.jit
def scale(x, y, n, block: tl.constexpr):
    offsets = tl.program_id(0) * block + tl.arange(0, block)
    {name} = tl.load(x + offsets, mask=offsets < n)
    tl.store(y + offsets, {name} * 2.0 + {more}, mask=offsets < n)
"""


def test_what_triton_compiles_to_is_told_without_lines_and_names(tmp_path, monkeypatch):
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))

    def code(number, num_warps=4, **places):
        file = tmp_path / f"kernel{number}.py"
        file.write_text(KERNEL.format(**{"above": "", "name": "values", "more": "1.0", **places}))
        found = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        signature = {"x": "*fp32", "y": "*fp32", "n": "i32", "block": "constexpr"}
        source = triton.compiler.ASTSource(module.scale, signature, {(3,): 128})
        target = GPUTarget("cuda", 90, 32)
        kernel = triton.compile(source, target=target, options={"num_warps": num_warps})
        return loaded.code(kernel.asm["ptx"], kernel.metadata), kernel.asm["cubin"]

    plain, moved = code(0), code(1, above="# one line\n# and another")
    assert moved[1] != plain[1]
    assert moved[0] == plain[0]
    assert code(2, name="loaded", more="(0.5 + 0.5)")[0] == plain[0]
    assert code(3, more="3.0")[0] != plain[0]
    assert code(4, num_warps=8)[0] != plain[0]
