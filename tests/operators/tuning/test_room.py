import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.tuning.room import LISTED, Room
from operators.tuning.space import Space
from populations.constraints import parsed
from tests.contracts.samples import quick

LARGE = Space({name: tuple(range(1, 12)) for name in "abcd"})


def constraint(text, space):
    return parsed(text, space.names)


@st.composite
def rooms(draw):
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    space = Space({f"P{n}": tuple(2**k for k in range(size)) for n, size in enumerate(sizes)})
    points = list(space.points())
    known = draw(st.sets(st.sampled_from(points)))
    limit = draw(st.integers(0, 40))
    text = f"{' * '.join(space.names)} <= {limit}"
    return space, known, limit, constraint(text, space)


def product(point):
    found = 1
    for value in point:
        found *= value
    return found


@quick
@given(rooms(), st.integers(0, 9))
def test_exactly_the_feasible_points_that_nobody_has_are_offered(given_room, seed):
    space, known, limit, refusing = given_room
    room = Room(space, known, constraints=[refusing])
    expected = [p for p in space.points() if p not in known and product(p) <= limit]
    assert list(room.points(random.Random(seed))) == expected
    assert room.exhausted is not bool(expected)
    assert all((point in room) is (point in expected) for point in space.points())
    one, nearest = room.one(random.Random(seed)), room.nearest(next(space.points()), random)
    assert (one in expected and nearest in expected) if expected else one is nearest is None


def test_what_is_unlikely_comes_last():
    space = Space({"A": (1, 2, 3)})
    room = Room(space, [(1,)], likely=lambda point: point[0] < 3)
    assert room.points(random.Random(0)) == ((2,),)
    assert (3,) not in room
    left = Room(space, [(1,), (2,)], likely=lambda point: point[0] < 3)
    assert left.points(random.Random(0)) == ((3,),)
    assert (3,) in left


def test_a_large_space_is_drawn_from():
    assert LARGE.size > LISTED
    rng = random.Random(1)
    room = Room(LARGE, [(1, 1, 1, 1)], constraints=[constraint("a * b <= 20", LARGE)])
    points = room.points(rng, [(2, 2, 2, 2)])
    assert len(points) == len(set(points)) == 1024
    assert {(1, 2, 2, 2), (3, 2, 2, 2), (2, 2, 2, 3)} <= set(points[:8])
    assert all(a * b <= 20 for a, b, _, _ in points)
    assert (1, 1, 1, 1) not in room
    assert room.one(rng) in room
    assert room.nearest((9, 9, 9, 9), rng) in room
    assert not room.exhausted


def test_a_large_space_without_feasible_points_ends():
    room = Room(LARGE, [], constraints=[constraint("a < 0", LARGE)])
    assert room.points(random.Random(1)) == ()
    assert room.one(random.Random(1)) is None


def test_a_large_space_of_unlikely_points_is_still_reached():
    room = Room(LARGE, [], likely=lambda _: False)
    assert room.one(random.Random(1)) is not None
    assert len(room.points(random.Random(1))) == 1


@pytest.mark.parametrize("facts", [{}, {"shared_memory": 100}])
def test_constraints_see_the_device(facts):
    space = Space({"A": (64, 128)})
    room = Room(space, [], constraints=[constraint("A <= shared_memory", space)], facts=facts)
    assert room.points(random.Random(0)) == (((64,),) if facts else ((64,), (128,)))
