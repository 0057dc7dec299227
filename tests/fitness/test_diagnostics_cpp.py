"""The compilers' words on C++ candidates: reports condensed, listings counted, kept by content."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness import native
from fitness.diagnostics import assembly, vectorisation
from fitness.diagnostics.compiled import NUMBERS, condensed, examine
from fitness.sandbox.zygote import Zygote
from populations.kernel import Candidate

SOURCE = r"""
#include <cmath>
extern "C" void scale(float* x, const float* y, long n) {
    for (long i = 0; i < n; ++i) x[i] = 2 * y[i];
    for (long i = 1; i < n; ++i) x[i] += x[i - 1];
    for (long i = 0; i < n; ++i) x[i] = std::sin(x[i]);
}
extern "C" void total(const float* x, float* out, long n, long m) {
    for (long r = 0; r < m; ++r) {
        float sum = 0;
        for (long i = 0; i < n; ++i) sum += x[r * n + i];
        out[r] = sum;
    }
}
extern "C" void product(const float* __restrict a, const float* __restrict b,
                        float* __restrict c) {
    for (long i = 0; i < 1024; ++i) c[i] += a[i] * b[i];
}
"""
# What GCC 12.2 wrote for a text like the one above; internal remarks have more spaces.
GCC = """\
kernel.cpp:6:24: missed:   function is not vectorizable.
kernel.cpp:6:49: missed:   not vectorized: relevant stmt not supported: _14 = __builtin_sinf (_13);
kernel.cpp:6:24: missed:  bad operation or unsupported loop bound.
kernel.cpp:6:24: missed:   not vectorized: no vectype for stmt: _13 = *_12;
 scalar_type: float
kernel.cpp:6:24: missed: couldn't vectorize loop
kernel.cpp:6:45: missed: not vectorized: no vectype for stmt: _13 = *_12;
 scalar_type: float
kernel.cpp:5:34: missed:   not vectorized, possible dependence between data-refs *_12 and *_9
kernel.cpp:5:24: missed:  bad data dependence.
kernel.cpp:5:24: missed: couldn't vectorize loop
kernel.cpp:5:34: missed: not vectorized: no vectype for stmt: _10 = *_9;
kernel.cpp:4:41: missed:   versioning for alias required: can't determine dependence between \
*_5 and *_3
kernel.cpp:4:24: optimized: loop vectorized using 64 byte vectors
kernel.cpp:4:24: optimized:  loop versioned for vectorization because of possible aliasing
kernel.cpp:4:24: optimized: loop vectorized using 32 byte vectors
kernel.cpp:3:17: missed:  not vectorized: no grouped stores in basic block.
kernel.cpp:9:24: missed:   not vectorized: control flow in loop.
kernel.cpp:9:24: missed:  bad loop form.
kernel.cpp:9:24: missed: couldn't vectorize loop
kernel.cpp:9:24: missed: not vectorized: control flow in loop.
kernel.cpp:11:28: missed:   reduc op not supported by target.
kernel.cpp:11:28: optimized: loop vectorized using 64 byte vectors
/usr/include/c++/12/bits/stl_algobase.h:420:20: missed: couldn't vectorize loop
"""
CLANG = """\
kernel.cpp:4:5: remark: vectorized loop (vectorization width: 16, interleaved count: 4) \
[-Rpass=loop-vectorize]
kernel.cpp:6:45: remark: loop not vectorized: call instruction cannot be vectorized \
[-Rpass-analysis=loop-vectorize]
kernel.cpp:6:5: remark: loop not vectorized [-Rpass-missed=loop-vectorize]
kernel.cpp:11:9: remark: loop not vectorized: cannot prove it is safe to reorder \
floating-point operations; allow reordering [-Rpass-analysis=loop-vectorize]
"""
needs_gcc = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


@dataclass(frozen=True)
class Settings:
    cache_dir: Path
    build_limit_s: float = 60.0
    memory_bytes: int = 2 << 30


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote(preload=(), environment={}) as zygote:
        yield zygote


def cpp(*texts: str) -> Candidate:
    lines = ["from fitness.native import load_cpp"]
    for number, text in enumerate(texts):
        lines += [f'S{number} = r"""{text}"""', f"k{number} = load_cpp(S{number})"]
    return Candidate(number=0, source="\n".join(lines) + "\n", language="cpp")


def condense(report: str, source: str) -> list[str]:
    return vectorisation.condense(vectorisation.inner_loops(report, source), source)


def test_a_report_of_gcc() -> None:
    lines = condense(GCC, SOURCE)
    assert [line.partition("`")[0] for line in lines] == [
        "line 4 ",
        "line 5 ",
        "line 6 ",
        "line 11 ",
    ]
    assert lines[0].endswith(
        "vectorised, 64-byte vectors; runs scalar if arrays overlap: add __restrict"
    )
    assert "x[i] += x[i - 1]" in lines[1]
    assert "scalar, an iteration may need an earlier one's result" in lines[1]
    assert "scalar, calls a scalar function" in lines[2]
    assert "added in order" in lines[3]


def test_a_report_of_clang() -> None:
    loops = vectorisation.parse(CLANG)
    assert [(loop.line, loop.width) for loop in loops] == [
        (4, "16 elements at a time, 4 interleaved"),
        (6, ""),
        (6, ""),
        (11, ""),
    ]
    text = "\n".join(condense(CLANG, SOURCE))
    assert "calls a scalar function" in text
    assert "a sum in order" in text
    assert "-Rpass-missed=loop-vectorize" in vectorisation.flags("clang++", "r.txt")


def test_the_bare_report_is_understood_too() -> None:
    bare = "\n".join(
        line for line in GCC.splitlines() if "  " not in line.partition("missed:")[2][:2]
    )
    loops = {loop.line: loop for loop in vectorisation.parse(bare)}
    assert list(loops[9].reasons) == ["a branch or an early exit in the body"]
    assert loops[4].width == "64-byte vectors"


def test_many_loops_fit_in_few_lines() -> None:
    report = "".join(
        f"kernel.cpp:{n}:3: optimized: loop vectorized using 32 byte vectors\n"
        for n in range(1, 40)
    )
    report += "kernel.cpp:40:3: missed: couldn't vectorize loop\n"
    source = "\n".join(["for (;;) x();"] * 40)
    lines = condense(report, source)
    assert len(lines) <= 12
    assert lines[-1].startswith("and ")
    assert any(line.startswith("line 40") for line in lines)


@pytest.mark.parametrize(
    "text", ["", "kernel.cpp", "x\0y", "kernel.cpp:9999:1: missed: couldn't vectorize loop"]
)
def test_odd_reports_do_no_harm(text: str) -> None:
    condense(text, "int x;")
    assert assembly.inner_loops(text) == []


CODE = ["f:", ".L3:", "\tjne\t.L3", "\tjmp\t.L4", "\tvaddps\t(%rax), %zmm0, %zmm0", "\t.loc 1 3 4"]
ODD = ["kernel.cpp:0:0: missed: x", "}", "{ for (", "\tret"]
PIECES = st.sampled_from([*GCC.splitlines(), *CLANG.splitlines(), *CODE, *ODD])


@given(st.lists(PIECES, max_size=30), st.lists(PIECES, max_size=30))
def test_no_report_or_listing_breaks_it(report: list[str], listing: list[str]) -> None:
    facts = condensed("\n".join(report), "\n".join(listing), "\n".join(report[::2]))
    assert len(facts["loops"]) <= 12
    assert len(facts["mix"]) <= 6


LISTING = """\
	.file	"kernel.cpp"
	.text
	.file 1 "kernel.cpp"
	.file 2 "/usr/include/math.h"
	.globl	f
	.type	f, @function
f:
.LFB1:
	.loc 1 3 1
	testq	%rdi, %rdi
	je	.L1
.L4:
	.loc 1 4 9
	xorl	%eax, %eax
.L3:
	.loc 1 5 20
	vmovups	(%rsi,%rax), %zmm0
	vfmadd231ps	64(%rsi,%rax), %zmm1, %zmm0
	vmovaps	%zmm3, 128(%rsp)
	vmovaps	64(%rsp), %zmm4
	.loc 2 90 1
	vdivps	%zmm2, %zmm0, %zmm0
	.loc 1 5 20 is_stmt 0
	vaddss	%xmm1, %xmm5, %xmm5
	vmovups	%zmm0, (%rdx,%rax)
	addq	$64, %rax
	cmpq	%rax, %rcx
	jne	.L3
	decq	%rdi
	jne	.L4
.L1:
	ret
	.size	f, .-f
"""


def test_a_listing_is_counted() -> None:
    (mix,) = assembly.inner_loops(LISTING)
    assert (mix.function, mix.line, mix.width) == ("f", 5, 64)
    assert (mix.products, mix.scalar, mix.slow, mix.stack) == (1, 1, 1, 2)
    assert (mix.loads, mix.stores) == (3, 2)
    (line,) = assembly.condense([mix])
    assert line.startswith("innermost loop at line 5 (64-byte vectors): 1 fused multiply-adds")
    assert "2 vector accesses to the stack" in line


@needs_gcc
@pytest.mark.compiler
def test_a_candidate_is_examined_once(zygote: Zygote, tmp_path: Path, monkeypatch) -> None:
    if "clang" in native.compiler():
        pytest.skip("the words expected are GCC's")
    settings = Settings(tmp_path)
    candidate = cpp(SOURCE)
    facts = examine(candidate, settings, zygote)
    text = "\n".join(facts["loops"])
    assert "line 4" in text
    assert "`for (long i = 1; i < n; ++i) x[i] += x[i - 1];`: scalar" in text
    assert "line 9" not in text
    assert facts["vector_loops"] >= 2
    assert facts["scalar_loops"] >= 2
    assert len(facts["loops"]) <= 12
    assert any("line 17" in line and "vectors" in line for line in facts["loops"])
    assert facts["mix"]
    # No second compilation, and nothing but the facts is left.
    monkeypatch.setattr(zygote, "spawn", None)
    assert examine(candidate, settings, zygote) == facts
    assert [p.suffix for p in (tmp_path / "cpp").iterdir()] == [".json"]


@needs_gcc
@pytest.mark.compiler
def test_what_cannot_be_compiled_says_nothing(zygote: Zygote, tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    assert examine(cpp("int x"), settings, zygote) == {}
    assert examine(cpp("// flags: -no-such\nint x;"), settings, zygote) == {}
    assert examine(Candidate(number=0, source="x = (", language="cpp"), settings, zygote) == {}
    assert examine(Candidate(number=0, source="x = 1", language="cpp"), settings, zygote) == {}


def test_facts_of_one_text() -> None:
    facts = condensed(GCC, LISTING, SOURCE)
    numbers = [facts[key] for key in NUMBERS]
    assert numbers == [2, 2, 1, 2]
