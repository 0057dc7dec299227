import pytest
from hypothesis import given
from hypothesis import strategies as st

from populations.archive import Insertion, Population
from populations.parameters import skeleton
from tests.contracts.samples import failed, kernel, quick


def point(number, code, tile, value, spread=0.02):
    source = f"{code} = 1\nTILE = {tile}  # tune: 16, 32, 64\n"
    return kernel(number, source, value, spread=spread)


def numbers(population):
    return [member.number for member in population.members]


def test_different_code_is_added_until_full_and_then_replaces_the_worst():
    population = Population(capacity=2)
    assert population.insert(kernel(0, value=1.0)) is Insertion.ADDED
    assert population.insert(kernel(1, value=2.0)) is Insertion.ADDED
    assert population.insert(kernel(2, value=0.5)) is Insertion.REFUSED
    assert population.insert(kernel(3, value=1.5)) is Insertion.REPLACED
    assert numbers(population) == [1, 3]
    assert len(population) == 2


def test_of_equals_the_elder_stays():
    population = Population(capacity=1)
    population.insert(kernel(0, value=1.0))
    assert population.insert(kernel(1, value=1.0)) is Insertion.REFUSED


def test_one_skeleton_is_one_member_at_its_most_certain_point():
    population = Population(capacity=3)
    assert population.insert(point(0, "a", 16, 1.0)) is Insertion.ADDED
    assert population.insert(point(1, "a", 32, 1.5)) is Insertion.IMPROVED
    # A higher median, but an interval that reaches far lower.
    assert population.insert(point(2, "a", 64, 1.6, spread=0.3)) is Insertion.REFUSED
    assert population.insert(point(3, "b", 64, 1.2)) is Insertion.ADDED
    assert numbers(population) == [1, 3]


def test_failures_live_only_until_something_passes():
    population = Population(capacity=2)
    assert population.insert(kernel(0, evaluation=failed())) is Insertion.ADDED
    assert population.insert(kernel(1, evaluation=failed(checks_passed=2))) is Insertion.ADDED
    assert population.insert(kernel(2, evaluation=failed(checks_passed=3))) is Insertion.REPLACED
    assert numbers(population) == [2, 1]
    assert population.insert(kernel(3, value=0.1)) is Insertion.ADDED
    assert numbers(population) == [3]
    assert population.insert(kernel(4, evaluation=failed(checks_passed=4))) is Insertion.REFUSED


def test_a_better_estimate_takes_the_place_of_the_first():
    population = Population(capacity=2)
    for each in (point(0, "a", 16, 1.0), point(1, "b", 16, 2.0), point(2, "c", 16, 0.5)):
        population.insert(each)
    population.remeasured(point(1, "b", 16, 0.8))
    assert numbers(population) == [0, 1]
    # Neither one that was refused nor one that has left comes back by being measured again.
    population.remeasured(point(2, "c", 16, 3.0))
    population.remeasured(point(5, "a", 16, 3.0))
    assert [(m.number, m.evaluation.speedup.value) for m in population.members] == [
        (0, 1.0),
        (1, 0.8),
    ]


def test_room_for_nobody_is_refused():
    with pytest.raises(ValueError, match="capacity=0"):
        Population(capacity=0)


offers = st.lists(
    st.tuples(
        st.sampled_from("abcdef"),
        st.sampled_from([16, 32, 64]),
        st.one_of(st.none(), st.floats(0.1, 10)),
        st.floats(0, 0.5),
    ),
    max_size=30,
)


@quick
@given(offers=offers, capacity=st.integers(1, 4))
def test_invariants(offers, capacity):
    population, again = Population(capacity=capacity), Population(capacity=capacity)
    for number, (code, tile, value, spread) in enumerate(offers):
        offered = point(number, code, tile, value, spread)
        before = population.members
        insertion = population.insert(offered)
        assert again.insert(offered) is insertion
        members = population.members
        assert (offered in members) == (insertion is not Insertion.REFUSED)
        assert len({skeleton(member.source) for member in members}) == len(members) <= capacity
        assert len({member.passed for member in members}) == 1
        assert list(members) == sorted(members, key=lambda m: (m.fitness, -m.number), reverse=True)
        if insertion is Insertion.REFUSED:
            assert members == before
    assert population.members == again.members
