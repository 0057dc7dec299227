"""From text to statements and back, and what is understood on the way."""

import pytest

from operators.structural.cpp import ir
from operators.structural.cpp.analysis import View
from operators.structural.cpp.tidy import tidy
from operators.structural.cpp.tree import Unsupported
from operators.structural.cpp.unit import Unit
from tests.operators.structural.cpp.kernels import CONV, NORM, SCAN, SMOOTH, SOURCES


def view(source: str, function: int = 0) -> View:
    unit = Unit(source)
    return View(unit, unit.functions[function])


def loops(seen: View, name: str) -> list[ir.For]:
    return [f for f in ir.loops(seen.function.body) if f.var == name]


@pytest.mark.parametrize("name", [n for n in SOURCES if n != "matmul"])
def test_text_in_the_house_form_comes_back_unchanged(name: str) -> None:
    assert Unit(SOURCES[name]).render() == SOURCES[name].replace(
        "static inline float half(float v) { return v / 2; }",
        "static inline float half(float v) {\n    return v / 2;\n}",
    )


ODD = """
// flags: -O2
template <typename T> struct Pair { T a, b; };
extern "C" {
void f(float* a, int n) {
    int i = 0, j = 1;  // both
    while (i < n) { a[i++] = 0; }
    for (int k = n; k > 0; --k) a[k] = 1;
    for (auto& v : {1, 2}) { a[v] = v; }
    if (n > 3) { a[0] = 2; } else if (n > 2) { a[0] = 3; } else a[0] = 4;
    switch (n) { case 1: break; }
    #pragma omp barrier
    float m[2][3] = {{1, 2, 3}, {4, 5, 6}};
    const float *p = a + 1, *q = p;
    a[1] = q[0] + m[1][2], a[2] = 1;
    goto done;
done:
    return;
}
}
"""


def test_odd_statements_survive_word_for_word() -> None:
    once = Unit(ODD).render()
    assert Unit(once).render() == once
    for words in ("while (i < n)", "--k", "auto& v", "switch (n)", "omp barrier", "goto done"):
        assert words in once
    assert "// both" in once
    assert "const float* q = p;" in once


def test_braces_appear_around_single_statements() -> None:
    text = Unit("void f(int* a) { for (int i = 0; i <= 3; i++) a[i] = i; }").render()
    assert "for (int i = 0; i < 3 + 1; ++i) {\n        a[i] = i;\n    }" in text


def test_broken_text_is_refused() -> None:
    with pytest.raises(Unsupported):
        Unit("void f( {")


def test_constants_and_launch_parameters() -> None:
    unit = Unit(
        "#define N 8\nconstexpr int M = N * 2;\nvoid f() { const int K = M + 1; }\n"
        "constexpr int T = 4;  // tune: 2, 4\n"
    )
    assert unit.constants == {"N": 8, "M": 16, "K": 17}
    assert unit.tunables["T"].choices == (2, 4)


def test_flags_and_includes_go_to_the_top() -> None:
    unit = Unit("// flags: -O2\nvoid f() {\n}\n")
    unit.set_flags((*unit.flags, "-funroll-loops"))
    unit.require("<vector>")
    assert unit.render().startswith("// flags: -O2 -funroll-loops\n#include <vector>\n")


def test_references_follow_constants_and_row_pointers() -> None:
    seen = view(
        "void f(const float* x, float* y, int n) { for (int i = 0; i < n; ++i) {"
        "const float* row = x + i * n; const int at = n - 1; y[i] = row[at]; } }"
    )
    read = next(r for r in seen.references if r.name == "row")
    assert (read.base, read.index.text()) == ("x", "i * n + n - 1")


def test_independent_and_dependent_loops() -> None:
    conv = view(CONV)
    assert all(conv.is_independent(f) for name in "bol" for f in loops(conv, name))
    assert conv.carried(loops(conv, "i")[0]) == {"sum"}
    norm = view(NORM)
    assert norm.carried(loops(norm, "r")[0]) == {"dweight"}
    scan = view(SCAN)
    assert scan.carried(loops(scan, "i")[0]) == {"a"}
    smooth = view(SMOOTH, 1)
    assert all(smooth.is_independent(f) for f in loops(smooth, "y"))


@pytest.mark.parametrize(
    ("body", "independent"),
    [
        ("a[i] = a[i] + 1;", True),
        ("a[2 * i] = a[2 * i + 1];", True),
        ("a[i] = a[i + 1];", False),
        ("a[i / 2] = 1;", False),
        ("a[0] = i;", False),
        ("a[b[i]] = 1;", False),
        ("int t = i; a[i] = t;", True),
        ("g(a, i);", False),
        ("for (int j = 0; j < m; ++j) { a[i * m + j] = 1; }", True),
        ("for (int j = 0; j < m; ++j) { a[i + j] = 1; }", False),
        ("for (int j = 0; j < m; ++j) { a[j * n + i] = 1; }", True),
        ("for (int j = 0; j <= m; ++j) { a[i * m + j] = 1; }", False),
    ],
)
def test_dependence_analysis(body: str, independent: bool) -> None:
    seen = view(
        f"void f(int* a, int* b, int n, int m) {{ for (int i = 0; i < n; ++i) {{{body}}} }}"
    )
    assert seen.is_independent(loops(seen, "i")[0]) is independent


def test_repeatable_means_nothing_is_updated_in_place() -> None:
    seen = view("void f(float* a, float* b) { for (int i = 0; i < 9; ++i) { a[i] += b[i]; } }")
    assert not seen.is_repeatable(loops(seen, "i")[0])
    conv = view(CONV)
    assert conv.is_repeatable(loops(conv, "l")[0])


def test_tidying_drops_unused_constants_and_deep_collapse_clauses() -> None:
    unit = Unit(
        "void f(float* a) { constexpr int unused = 3;\n#pragma omp parallel for collapse(3)\n"
        "for (int i = 0; i < 9; ++i) { for (int j = 0; j < 9; ++j) { { a[i * 9 + j] = 1; } } } }"
    )
    tidy(unit)
    text = unit.render()
    assert "unused" not in text
    assert "collapse(2)" in text
    assert "{\n            {" not in text
