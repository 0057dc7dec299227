"""What a sweep's values say: medians, intervals, choices beside each other."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evo.sweeps.space import Parameter
from evo.sweeps.statistics import Point, levels, median, ranked

KEY = Parameter("a.b", choices=("x", "y"))
floats = st.floats(-10, 10)


def point(number, value, values, *, state="complete"):
    values = dict(enumerate(values, 1)) if isinstance(values, list) else values
    return Point(number, {"a.b": value}, state, values)


@given(st.lists(floats, min_size=2, max_size=15))
def test_a_median_lies_in_its_interval(values):
    found = median(values, draws=200)
    assert found.value == statistics.median(values)
    assert min(values) <= found.low <= found.high <= max(values)


def test_one_run_has_no_interval():
    assert (median([2.0]).low, median([2.0]).high) == (None, None)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = random.Random(3)
    hits = 0
    for _ in range(200):
        found = median([rng.gauss(1.0, 0.5) for _ in range(15)], draws=300)
        hits += found.low <= 1.0 <= found.high
    assert 175 <= hits <= 199


def test_complete_points_come_first_and_the_best_of_them():
    points = [
        point(0, "x", [1.0]),
        point(1, "y", [9.0], state="pruned"),
        point(2, "y", [3.0]),
        point(3, "y", {}, state="fail"),
    ]
    assert [p.number for p in ranked(points, maximize=True)] == [2, 0, 1]
    assert [p.number for p in ranked(points, maximize=False)] == [0, 2, 1]


def test_choices_are_compared_seed_by_seed():
    # The seeds differ by much, the choices by little, and always in the same direction.
    base = [1.0, 5.0, 9.0, 2.0, 7.0, 3.0, 8.0]
    points = [
        point(0, "x", base),
        point(1, "y", [value + 0.5 for value in base]),
        point(2, "y", {1: 1.5, 2: 5.5}, state="pruned"),
    ]
    best, other = levels(points[:2], KEY, maximize=True)
    assert (best.name, best.points, best.runs, best.behind) == ("y", 1, 7, None)
    assert other.name == "x"
    assert other.behind.value == pytest.approx(-0.5)
    assert (other.behind.low, other.behind.high) == pytest.approx((-0.5, -0.5))
    assert other.typical.low < other.typical.value < other.typical.high
    first, _ = levels(points[:2], KEY, maximize=False)
    assert first.name == "x"
    assert {level.name: level.points for level in levels(points, KEY, maximize=True)} == {
        "x": 1,
        "y": 2,
    }


def test_what_was_never_varied_is_not_compared():
    assert levels([point(0, "x", [1.0])], KEY, maximize=True) == []
    assert levels([point(0, "x", []), point(1, "y", [])], KEY, maximize=True) == []


def test_a_range_is_told_in_three_parts():
    key = Parameter("a.b", low=0.0, high=1.0)
    points = [point(n, n / 10, [float(n), n + 1.0]) for n in range(9)]
    found = levels(points, key, maximize=True)
    assert [level.name for level in found] == ["0.6 to 0.8", "0.3 to 0.5", "0 to 0.2"]
    assert [level.points for level in found] == [3, 3, 3]
    few = Parameter("a.b", low=1, high=3)
    points = [point(n, 1 + n % 3, [float(n)]) for n in range(9)]
    assert [level.name for level in levels(points, few, maximize=True)] == ["3", "2", "1"]


def test_the_same_values_give_the_same_intervals():
    points = [point(n, "xy"[n % 2], [n + 0.1 * s for s in range(5)]) for n in range(6)]
    assert levels(points, KEY, maximize=True) == levels(points, KEY, maximize=True)
