"""What every selection keeps. A new one joins by standing in SELECTIONS."""

import random

import pytest

from populations.selection import Best, RandomSelection, Tournament
from tests.contracts.samples import kernel

SELECTIONS = [Tournament(), Tournament(size=1), Tournament(size=50), Best(), RandomSelection()]
POPULATION = tuple(kernel(n, value=None if n % 4 == 3 else 1 + n / 10) for n in range(12))

each_selection = pytest.mark.parametrize(
    "selection", SELECTIONS, ids=lambda s: type(s).__name__.lower()
)


@each_selection
@pytest.mark.parametrize("count", [0, 1, 2, 12])
def test_parents_are_distinct_members(selection, count):
    for seed in range(20):
        parents = selection.select(POPULATION, count, random.Random(seed))
        assert len(parents) == count
        assert len({parent.number for parent in parents}) == count
        assert all(parent in POPULATION for parent in parents)


@each_selection
def test_repeats_begin_when_everyone_was_chosen(selection):
    parents = selection.select(POPULATION[:2], 5, random.Random(0))
    assert len(parents) == 5
    assert {parent.number for parent in parents[:2]} == {0, 1}


@each_selection
def test_the_same_generator_gives_the_same_parents(selection):
    first = selection.select(POPULATION, 6, random.Random(7))
    random.seed(99)
    before = random.getstate()
    assert selection.select(POPULATION, 6, random.Random(7)) == first
    assert random.getstate() == before


@each_selection
def test_the_caller_s_population_stays(selection):
    population = list(POPULATION)
    selection.select(population, 8, random.Random(1))
    assert population == list(POPULATION)


@each_selection
def test_an_empty_population_is_refused(selection):
    with pytest.raises(ValueError, match="empty population"):
        selection.select([], 1, random.Random(0))
