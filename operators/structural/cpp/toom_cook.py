"""Minimal filtering algorithms F(m, r): m outputs of an r-tap filter with m + r - 1 products.

y[i] = sum over k of g[k] d[i + k], i < m, is computed as y = A [(G g) * (B d)] (Winograd 1980;
Lavin and Gray 2015). The matrices follow from Toom-Cook interpolation by transposition: with V the
Vandermonde matrix of m + r - 1 points (the last at infinity), G takes r columns of V, A is m
columns transposed, and B is the transposed inverse. They are exact fractions; only the rounding
of the transformed numbers differs from the plain sum, and it grows with m.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import gcd, lcm

Matrix = tuple[tuple[Fraction, ...], ...]

# In the order of use: small numbers and their inverses keep the rounding errors small.
_POINTS = (0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2), 4, -4)
MOST_PRODUCTS = len(_POINTS) + 1


@dataclass(frozen=True, slots=True)
class Filter:
    """The matrices of F(m, r).

    Attributes:
        outputs: A, m rows of m + r - 1.
        taps: G, m + r - 1 rows of r.
        data: B, m + r - 1 rows of m + r - 1, whole numbers.
    """

    outputs: Matrix
    taps: Matrix
    data: Matrix

    @property
    def products(self) -> int:
        """How many multiplications one tile takes."""
        return len(self.data)


@lru_cache(maxsize=64)
def minimal_filter(outputs: int, taps: int) -> Filter:
    """F(outputs, taps). Raises ValueError when it would need too many points."""
    size = outputs + taps - 1
    if outputs < 1 or taps < 1 or size > MOST_PRODUCTS:
        raise ValueError(f"no minimal filter for {outputs=}, {taps=}")
    points = [Fraction(p) for p in _POINTS[: size - 1]]
    vandermonde = [_powers(p, size) for p in points] + [_infinity(size)]
    inverse = _inverse(vandermonde)
    data, scaled_taps = [], []
    for row, point in enumerate([*points, None]):
        column = [inverse[i][row] for i in range(size)]
        scale = Fraction(lcm(*(v.denominator for v in column)), gcd(*_numerators(column)))
        tap_row = _infinity(taps) if point is None else _powers(point, taps)
        data.append(tuple(v * scale for v in column))
        scaled_taps.append(tuple(v / scale for v in tap_row))
    outs = [(*(p**i for p in points), Fraction(int(i == outputs - 1))) for i in range(outputs)]
    return Filter(tuple(outs), tuple(scaled_taps), tuple(data))


def combination(row: tuple[Fraction, ...], terms: list[str]) -> str:
    """C++ for the sum of `terms` weighted with `row`, in float."""
    words: list[str] = []
    for factor, term in zip(row, terms, strict=True):
        if not factor:
            continue
        size = abs(factor)
        text = term if size == 1 else f"{_literal(size)} * {term}"
        sign = "-" if factor < 0 else "+"
        words.append(f"{sign} {text}" if words else (f"-{text}" if factor < 0 else text))
    return " ".join(words) or "0.0f"


def _literal(value: Fraction) -> str:
    if value.denominator == 1:
        return f"{value.numerator}.0f"
    if value.denominator & (value.denominator - 1) == 0:
        return f"{float(value)!r}f"
    return f"({value.numerator}.0f / {value.denominator}.0f)"


def _powers(point: Fraction, size: int) -> tuple[Fraction, ...]:
    return tuple(point**i for i in range(size))


def _infinity(size: int) -> tuple[Fraction, ...]:
    return (*(Fraction(0) for _ in range(size - 1)), Fraction(1))


def _numerators(values: list[Fraction]) -> list[int]:
    """Numerators once the values are brought to their common denominator."""
    common = lcm(*(v.denominator for v in values))
    return [int(v * common) for v in values]


def _inverse(matrix: list[tuple[Fraction, ...]]) -> list[list[Fraction]]:
    """Gauss-Jordan elimination, exact."""
    size = len(matrix)
    rows = [[*row, *(Fraction(int(i == j)) for j in range(size))] for i, row in enumerate(matrix)]
    for column in range(size):
        pivot = next(i for i in range(column, size) if rows[i][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        scale = rows[column][column]
        rows[column] = [v / scale for v in rows[column]]
        for i in range(size):
            if i != column and (factor := rows[i][column]):
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[column], strict=True)]
    return [row[size:] for row in rows]
