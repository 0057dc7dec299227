"""Every operator: where it applies, what it writes, that the result builds and is right."""

import random
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from operators.structural import cpp
from operators.structural.cpp.base import CppOperator
from operators.structural.cpp.unit import Unit
from populations.parameters import parameters, with_values
from tests.operators.structural.cpp.kernels import SOURCES, cpp_of, faults, module

OPERATORS = {operator.name.removeprefix("cpp_"): operator for operator in cpp.edits()}
needs_compiler = pytest.mark.compiler
without_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

# (kernel, edits as "operator" or "operator:part of the note", what the result must hold)
CASES = [
    ("conv", ["parallel_for:collapse(2)"], "parallel for collapse(2)"),
    ("conv", ["parallel_for:schedule(dynamic)"], "schedule(dynamic)"),
    ("smooth", ["parallel_for:share y among"], "#pragma omp parallel for"),
    ("norm", ["simd:simd on c in r"], "#pragma omp simd reduction(+ : squares)"),
    ("norm", ["unroll_pragma:unroll c in r 4"], "#pragma GCC unroll 4"),
    ("smooth", ["ivdep:x in y"], "#pragma GCC ivdep"),
    ("norm", ["privatise_reduction:a private"], "#pragma omp critical"),
    ("norm", ["privatise_reduction:clause"], "reduction(+ : dweight[0 : columns])"),
    ("conv", ["halo_pad", "explicit_vectors:vectorise l"], "LANES = 16;  // tune: 4, 8, 16"),
    ("smooth", ["explicit_vectors:x in y"], "*(float_v*)&out[y * W + x]"),
    ("norm", ["privatise_reduction:a private", "explicit_vectors"], "float(columns)"),
    ("conv", ["unroll_and_jam:o in b by 4"], "float sum[JAM]"),
    ("conv", ["unroll_and_jam:l in o", "unroll_and_jam:o in b"], "float sum[JAM2][JAM]"),
    ("matmul", ["unroll_and_jam:i by 8", "unroll_and_jam:j in i"], "n - n % JAM"),
    ("conv", ["halo_pad", "minimal_filtering:F(4, 3)"], "ROWS = 1;  // tune: 1, 2, 4"),
    ("conv", ["halo_pad", "minimal_filtering:F(2, 3)", "explicit_vectors:t in o"], "0.5f * w1"),
    ("smooth", ["halo_pad", "minimal_filtering"], None),
    ("conv", ["halo_pad"], "x_padded"),
    ("smooth", ["halo_pad"], "in_padded"),
    ("conv", ["unroll_and_jam:o in b", "halo_pad"], "x_padded"),
    ("conv", ["tighten_bounds"], "k_low"),
    ("smooth", ["tighten_bounds"], "d < d_high"),
    ("conv", ["peel_edges"], "for (int l = 39; l < 40; ++l)"),
    ("conv", ["interchange:o in b with l"], None),
    ("matmul", ["fission", "interchange"], None),
    ("conv", ["tile"], "TILE"),
    ("smooth", ["tile"], "TILE"),
    ("conv", ["expand_sums:over l"], "float sum[LENGTH]"),
    ("smooth", ["fuse"], None),
    ("norm", ["recompute:unit", "fission"], None),
    ("conv", ["full_unroll"], None),
    ("conv", ["halo_pad", "interchange:i in l", "pack"], "weight_packed"),
    ("conv", ["unroll_and_jam:o in b", "pack:weight"], "o / JAM"),
    ("matmul", ["scalar_replace"], "c_value"),
    ("norm", ["recompute:scale"], "(1.0f / std::sqrt(squares / columns + eps))"),
    ("norm", ["split_sums:squares"], "squares_parts"),
    ("conv", ["hoist_row:x for k"], "const float* x_row"),
    ("norm", ["reciprocal"], "1.0f / columns"),
    ("norm", ["factor_out"], "dot *= scale"),
    ("conv", ["compiler_flags:width=512"], "// flags: -mprefer-vector-width=512"),
    ("conv", ["restrict"], "const float* __restrict x"),
    ("conv", ["expand_sums:over l", "align"], "alignas(64) float sum"),
]


def edit(text: str, steps: list[str]) -> str:
    for step in steps:
        name, _, wanted = step.partition(":")
        notes = [s.note for s in OPERATORS[name].all_sites(Unit(cpp_of(text)))]
        note = next((n for n in notes if wanted in n), None)
        assert note is not None, f"{step}: offered {notes}"
        result = OPERATORS[name].apply(text, random.Random(0), note)
        assert result is not None
        assert result[1] == note
        text = result[0]
    return text


@pytest.mark.parametrize(("kernel", "steps", "words"), CASES)
def test_edits_write_what_they_say(kernel: str, steps: list[str], words: str | None) -> None:
    if kernel == "smooth" and "minimal_filtering" in steps:
        return  # its filter has no weights: see the refusals
    text = edit(module(SOURCES[kernel]), steps)
    assert text != module(SOURCES[kernel])
    assert words is None or words in cpp_of(text)


def test_every_operator_has_a_case() -> None:
    tried = {step.partition(":")[0] for _, steps, _ in CASES for step in steps}
    assert tried == set(OPERATORS)


@needs_compiler
@without_compiler
@pytest.mark.parametrize("kernel", ["conv", "norm", "matmul", "smooth"])
def test_edited_kernels_are_right(kernel: str, tmp_path: Path) -> None:
    """With the values an edit brings, and with every launch parameter at its least and greatest."""
    texts = []
    for name, steps, _ in CASES:
        if name != kernel or (kernel == "smooth" and "minimal_filtering" in steps):
            continue
        text = edit(module(SOURCES[kernel]), steps)
        texts.append(text)
        if found := parameters(text):
            texts.append(with_values(text, {p.name: p.choices[-1] for p in found}))
    wrong = faults(tmp_path, kernel, [cpp_of(text) for text in texts])
    assert wrong == [""] * len(texts)


# Edits that must not be offered: (source, operators).
REFUSED = [
    (SOURCES["scan"], ["parallel_for", "simd", "ivdep", "explicit_vectors", "unroll_and_jam"]),
    (SOURCES["scan"], ["tile", "interchange", "expand_sums", "split_sums", "fission"]),
    (SOURCES["norm"], ["minimal_filtering", "halo_pad", "tile", "unroll_and_jam"]),
    (SOURCES["conv"], ["explicit_vectors", "minimal_filtering", "privatise_reduction", "fuse"]),
    (SOURCES["smooth"], ["minimal_filtering", "privatise_reduction", "factor_out"]),
    ("void f(float* a) { a[0] = 1; }", list(OPERATORS)),
    ("void f(float* a, int n) { for (int i = 0; i < n; ++i) { g(a, i); } }", ["parallel_for"]),
    (
        "void f(float* a, float* b) { for (int i = 0; i < 8; ++i) { a[i] = b[i]; }"
        "for (int i = 0; i < 8; ++i) { b[i] = a[7 - i]; } }",
        ["fuse"],
    ),
]


@pytest.mark.parametrize(("source", "names"), REFUSED)
def test_edits_are_not_offered_where_they_would_be_wrong(source: str, names: list[str]) -> None:
    for name in names:
        if name == "compiler_flags":
            continue
        assert not OPERATORS[name].all_sites(Unit(source)), name


@pytest.mark.parametrize("name", OPERATORS)
def test_an_edit_can_be_made_again_without_stacking(name: str) -> None:
    """Directives, promises and flags never stand twice in one place."""
    operator: CppOperator = OPERATORS[name]
    for kernel in ("conv", "norm"):
        text, rng = module(SOURCES[kernel]), random.Random(1)
        for _ in range(5):
            result = operator.apply(text, rng)
            text = result[0] if result else text
        assert text.count("__restrict") <= 5
        lines = [line.strip() for line in cpp_of(text).splitlines()]
        stacked = [a for a, b in pairwise(lines) if a == b and "#pragma" in a]
        assert not stacked
        flags = [w for line in lines if line.startswith("// flags:") for w in line.split()]
        assert len(flags) == len(set(flags))


@pytest.mark.parametrize("text", ["", "x = (", "SOURCE = 'int'\n", module("void f( {"), "\0"])
@pytest.mark.parametrize("name", OPERATORS)
def test_odd_modules_are_left_alone(name: str, text: str) -> None:
    assert OPERATORS[name].apply(text, random.Random(0)) is None


def test_edits_stop_before_the_code_explodes() -> None:
    text, rng, jams = module(SOURCES["matmul"]), random.Random(0), 0
    for _ in range(12):
        result = OPERATORS["unroll_and_jam"].apply(text, rng)
        if result is None:
            break
        text, jams = result[0], jams + 1
    assert 2 <= jams <= 8


def test_same_source_same_rng_same_edit() -> None:
    for operator in OPERATORS.values():
        text = module(SOURCES["conv"])
        assert operator.apply(text, random.Random(3)) == operator.apply(text, random.Random(3))
