"""The matrices of minimal filtering, exactly."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.structural.cpp.toom_cook import combination, minimal_filter

NUMBERS = st.integers(-99, 99).map(Fraction)


@given(st.data(), st.integers(1, 6), st.integers(1, 5))
def test_filters_compute_the_sliding_sum(data: st.DataObject, outputs: int, taps: int) -> None:
    matrices = minimal_filter(outputs, taps)
    size = outputs + taps - 1
    assert matrices.products == size
    g = data.draw(st.lists(NUMBERS, min_size=taps, max_size=taps))
    d = data.draw(st.lists(NUMBERS, min_size=size, max_size=size))

    def times(matrix, vector):
        return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]

    products = [
        a * b for a, b in zip(times(matrices.taps, g), times(matrices.data, d), strict=True)
    ]
    wanted = [sum(g[k] * d[i + k] for k in range(taps)) for i in range(outputs)]
    assert times(matrices.outputs, products) == wanted
    assert all(v.denominator == 1 for row in matrices.data for v in row)


def test_the_well_known_small_filter() -> None:
    assert minimal_filter(2, 3).data == ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1))


def test_too_many_points_are_refused() -> None:
    with pytest.raises(ValueError, match="outputs=9"):
        minimal_filter(9, 3)


def test_sums_as_text() -> None:
    row = (Fraction(-1), Fraction(0), Fraction(5, 4), Fraction(-1, 6))
    assert combination(row, ["a", "b", "c", "d"]) == "-a + 1.25f * c - (1.0f / 6.0f) * d"
    assert combination((Fraction(0),), ["a"]) == "0.0f"
