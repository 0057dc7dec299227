import math
import random
from collections import Counter

import pytest

from populations.selection import Best, RandomSelection, Tournament, sample
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


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [2, 5, 10])
def test_a_tournament_presses_as_much_as_its_size_says(size, count):
    """The r-th of n wins a tournament of k with ((n-r+1)^k - (n-r)^k) / n^k."""
    rng = random.Random(3)
    selection, draws = Tournament(size=size), 3000
    ranked = sorted(POPULATION[:count], key=lambda k: k.fitness, reverse=True)
    won = Counter(selection.select(POPULATION[:count], 1, rng)[0].number for _ in range(draws))
    for place, each in enumerate(ranked):
        share = ((count - place) ** size - (count - place - 1) ** size) / count**size
        # Four standard deviations of a share of so many draws.
        assert won[each.number] / draws == pytest.approx(
            share, abs=4 * math.sqrt(share * (1 - share) / draws) + 1e-9
        )


def test_a_sample_is_distinct_as_far_as_it_can_be():
    rng = random.Random(1)
    drawn = [k.number for k in sample(POPULATION[:3], 8, rng)]
    assert [len(set(drawn[n : n + 3])) for n in (0, 3)] == [3, 3]
    assert sample([], 0, rng) == []
    with pytest.raises(ValueError, match="empty"):
        sample([], 1, rng)


def test_random_selection_has_no_favourites():
    counts = firsts(RandomSelection())
    assert len(counts) == 10
    assert max(counts.values()) < 2 * min(counts.values())


def test_a_tournament_of_nobody_is_refused():
    with pytest.raises(ValueError, match="size=0"):
        Tournament(size=0)
