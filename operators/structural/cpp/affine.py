"""Integer polynomials over names: what index expressions are made of.

`(b * 96 + c) * n + l` becomes {b n: 96, c n: 1, l: 1}. A part that is no polynomial (a division,
a call, an element of an array) is an atom of its own: it is equal to the same text elsewhere and
nothing else is known of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from operators.structural.cpp.expression import names
from operators.structural.cpp.tree import parse_expression, text_of

if TYPE_CHECKING:
    from tree_sitter import Node

Monomial = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Poly:
    """A polynomial with integer coefficients; monomials are sorted tuples of atoms."""

    terms: tuple[tuple[Monomial, int], ...]

    @classmethod
    def of(cls, terms: Mapping[Monomial, int]) -> Poly:
        """Build one; zero terms are dropped."""
        return cls(tuple(sorted((m, c) for m, c in terms.items() if c)))

    @classmethod
    def constant(cls, value: int) -> Poly:
        """A number."""
        return cls.of({(): value})

    @classmethod
    def atom(cls, name: str) -> Poly:
        """A name, or an opaque expression's text."""
        return cls.of({(name,): 1})

    def __add__(self, other: Poly) -> Poly:
        sums = dict(self.terms)
        for monomial, factor in other.terms:
            sums[monomial] = sums.get(monomial, 0) + factor
        return Poly.of(sums)

    def __neg__(self) -> Poly:
        return Poly.of({m: -c for m, c in self.terms})

    def __sub__(self, other: Poly) -> Poly:
        return self + -other

    def __mul__(self, other: Poly) -> Poly:
        products: dict[Monomial, int] = {}
        for m1, c1 in self.terms:
            for m2, c2 in other.terms:
                monomial = tuple(sorted(m1 + m2))
                products[monomial] = products.get(monomial, 0) + c1 * c2
        return Poly.of(products)

    @property
    def number(self) -> int | None:
        """The value when it is a number, else None."""
        if not self.terms:
            return 0
        (monomial, factor), *rest = self.terms
        return factor if not rest and not monomial else None

    @property
    def names(self) -> frozenset[str]:
        """Every identifier it depends on, those inside opaque atoms included."""
        return frozenset(n for m, _ in self.terms for atom in m for n in names(atom))

    def coefficient(self, name: str) -> Poly | None:
        """What `name` is multiplied with; None when it occurs otherwise than to the first power."""
        found: dict[Monomial, int] = {}
        for monomial, factor in self.terms:
            times = monomial.count(name)
            rest = tuple(a for a in monomial if a != name)
            if times > 1 or any(name in names(atom) for atom in rest):
                return None
            if times:
                found[rest] = factor
        return Poly.of(found)

    def part(self, wanted: frozenset[str] | set[str]) -> Poly:
        """The terms that depend on one of the `wanted` names."""
        return Poly.of(
            {m: c for m, c in self.terms if any(not wanted.isdisjoint(names(a)) for a in m)}
        )

    def replaced(self, values: Mapping[str, Poly]) -> Poly:
        """The polynomial with some atoms replaced."""
        total = Poly.constant(0)
        for monomial, factor in self.terms:
            product = Poly.constant(factor)
            for atom in monomial:
                product = product * values.get(atom, Poly.atom(atom))
            total = total + product
        return total

    def text(self) -> str:
        """C++ for it, positive terms first."""
        parts = sorted(self.terms, key=lambda t: (t[1] < 0, not t[0]))
        words: list[str] = []
        for monomial, factor in parts:
            size = abs(factor)
            atoms = [a if a.isidentifier() else f"({a})" for a in monomial]
            product = " * ".join([*atoms, *([str(size)] if size != 1 or not monomial else [])])
            if not words:
                words.append(product if factor > 0 else f"-{product}")
            else:
                words.append(f"{'+' if factor > 0 else '-'} {product}")
        return " ".join(words) or "0"


def poly(text: str, definitions: Mapping[str, Poly] | None = None) -> Poly:
    """The polynomial an integer expression stands for; `definitions` replaces names."""
    return _poly(parse_expression(text), definitions or {})


def _poly(node: Node, definitions: Mapping[str, Poly]) -> Poly:
    text = text_of(node)
    result: Poly | None = None
    match node.type:
        case "identifier":
            result = definitions.get(text, Poly.atom(text))
        case "number_literal":
            digits = text.rstrip("uUlL").replace("'", "")
            result = Poly.constant(int(digits)) if digits.isdigit() else None
        case "parenthesized_expression" if len(node.named_children) == 1:
            result = _poly(node.named_children[0], definitions)
        case "unary_expression":
            argument = node.child_by_field_name("argument")
            if argument is not None and text.startswith("-"):
                result = -_poly(argument, definitions)
        case "cast_expression":
            value, target = node.child_by_field_name("value"), node.child_by_field_name("type")
            if value is not None and target is not None and text_of(target) in _INTEGERS:
                result = _poly(value, definitions)
        case "binary_expression":
            result = _binary(node, definitions)
    return result if result is not None else Poly.atom(" ".join(text.split()))


_INTEGERS = {"int", "long", "long long", "size_t", "std::size_t", "ptrdiff_t", "int64_t"}


def _binary(node: Node, definitions: Mapping[str, Poly]) -> Poly:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    sign = node.child_by_field_name("operator")
    if left is not None and right is not None and sign is not None:
        a, b = _poly(left, definitions), _poly(right, definitions)
        match text_of(sign):
            case "+":
                return a + b
            case "-":
                return a - b
            case "*":
                return a * b
            case "/" if b.number and a.number is not None and a.number >= 0 and b.number > 0:
                return Poly.constant(a.number // b.number)
            case "%" if b.number and a.number is not None and a.number >= 0 and b.number > 0:
                return Poly.constant(a.number % b.number)
    return Poly.atom(" ".join(text_of(node).split()))
