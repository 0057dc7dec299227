"""Expressions and index polynomials."""

import pytest

from operators.structural.cpp.affine import Poly, poly
from operators.structural.cpp.expression import (
    accesses,
    conjuncts,
    factors,
    names,
    replace_accesses,
    substitute,
)
from operators.structural.cpp.tree import Unsupported


def test_names_leave_out_types_and_members() -> None:
    assert names("a[i] * (float)n + s.length") == {"a", "i", "n", "s"}


def test_accesses_find_nested_and_wide_elements() -> None:
    found = accesses("*(const float_v*)&x[i * n + p[j]] * w[2][k]")
    assert [(a.base, a.indices, a.wide) for a in found] == [
        ("x", ("i * n + p[j]",), "float_v"),
        ("p", ("j",), ""),
        ("w", ("2", "k"), ""),
    ]


def test_substitution_keeps_precedence() -> None:
    assert substitute("2 * l + a[l]", {"l": "t + 1"}) == "2 * (t + 1) + a[t + 1]"


def test_substitution_of_a_replacement_is_not_repeated() -> None:
    assert substitute("l + 1", {"l": "l + r"}) == "(l + r) + 1"


def test_replacing_an_outer_element_takes_the_inner_along() -> None:
    assert replace_accesses("x[p[i]] + p[i]", lambda a: "0" if a.base == "x" else None) == (
        "0 + p[i]"
    )


def test_products_and_conditions_come_apart() -> None:
    assert factors("a[i] * (b * c)") == ["a[i]", "b", "c"]
    assert conjuncts("i >= 0 && (i < n && j < m)") == ["i >= 0", "i < n", "j < m"]


def test_not_an_expression_is_refused() -> None:
    with pytest.raises(Unsupported):
        names("for (;;)")


def test_polynomials_multiply_out() -> None:
    index = poly("(b * IN + i) * n + (l - 1)", {"IN": Poly.constant(4)})
    assert dict(index.terms) == {("b", "n"): 4, ("i", "n"): 1, ("l",): 1, (): -1}
    assert poly(index.text()) == index


def test_what_is_no_polynomial_is_an_atom() -> None:
    index = poly("o / R * 3 + f(o)")
    assert index.coefficient("o") is None
    assert index.names == {"o", "R", "f"}


def test_coefficients_and_parts() -> None:
    index = poly("(b * c + o) * n + l")
    assert index.coefficient("o") == Poly.atom("n")
    assert index.coefficient("l") == Poly.constant(1)
    assert poly("i * i").coefficient("i") is None
    assert index.part({"o", "l"}) == poly("o * n + l")


@pytest.mark.parametrize(
    ("text", "value"), [("7 / 2 - 7 % 4", 0), ("-(3 - 5) * 2", 4), ("(int)9", 9), ("8u", 8)]
)
def test_constants_are_computed(text: str, value: int) -> None:
    assert poly(text).number == value
