import random
from collections import Counter

import pytest

from populations.selection import Best, RandomSelection, Tournament
from tests.contracts.samples import kernel

POPULATION = [kernel(n, value=1 + n / 10) for n in range(10)]


def firsts(selection, draws=2000):
    rng = random.Random(3)
    return Counter(selection.select(POPULATION, 1, rng)[0].number for _ in range(draws))


def test_best_is_best_first_and_the_elder_of_equals():
    twins = [kernel(0, value=2.0), kernel(1, value=None), kernel(2, value=2.0), kernel(3)]
    assert [k.number for k in Best().select(twins, 3, random.Random(0))] == [0, 2, 3]


def test_pressure_grows_with_the_size_of_the_tournament():
    shares = [firsts(Tournament(size=size))[9] / 2000 for size in (1, 3, 8)]
    # The best of ten wins unless it is drawn into no place: 1 - 0.9 ** size.
    assert shares == [pytest.approx(1 - 0.9**size, abs=0.04) for size in (1, 3, 8)]


def test_random_selection_has_no_favourites():
    counts = firsts(RandomSelection())
    assert len(counts) == 10
    assert max(counts.values()) < 2 * min(counts.values())


def test_a_tournament_of_nobody_is_refused():
    with pytest.raises(ValueError, match="size=0"):
        Tournament(size=0)
