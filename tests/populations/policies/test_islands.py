from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from populations.policies.islands import Islands
from populations.policies.policy import ISLAND, MIGRATION, SETTLED
from populations.selection import RandomSelection, Tournament
from tests.contracts.play import Play, Step, kernel, scripted, scripts
from tests.contracts.samples import quick

brisk = settings(quick, max_examples=40)
keys = st.fixed_dictionaries(
    {
        "count": st.integers(1, 4),
        "capacity": st.integers(1, 4),
        "interval": st.integers(0, 6),
        "migrants": st.integers(1, 3),
        "topology": st.sampled_from(["ring", "random"]),
        "stagnation": st.integers(0, 6),
        "founder": st.sampled_from(["elite", "seed"]),
    }
)


def islands(**changes):
    return Islands(**{"count": 3, "capacity": 4, "selection": RandomSelection(), **changes})


class Chronicle:
    """Who came to which island, by the events alone, checked against what really lives there."""

    def __init__(self):
        self.came = defaultdict(set)
        self.read = 0
        self.fresh = []

    def check(self, play):
        number = max(play.inserted)
        for at, change in play.changes[self.read :]:
            assert at == number
            hear = {SETTLED: self.settled, MIGRATION: self.migrated, ISLAND: self.begun}
            hear[change.kind](play, change.data)
        self.read = len(play.changes)
        for name, members in play.policy.islands.items():
            assert {member.number for member in members} <= self.came[name]

    def settled(self, play, data):
        made = play.inserted[data["number"]]
        for name in data["islands"]:
            self.came[name].add(made.number)
        if len(data["islands"]) > 1 or made.number not in play.chosen:
            return
        parents = set(play.chosen[made.number])
        if parents == {*made.candidate.parents}:
            assert self.at_home(parents, data) or self.stranded(play, data)

    def at_home(self, parents, data):
        return parents <= self.came[data["islands"][0]]

    def stranded(self, play, data):
        return any(
            change.kind == MIGRATION
            and change.data["to"] == data["islands"][0]
            and data["number"] in change.data["kernels"]
            for number, change in play.changes
            if number == data["number"]
        )

    def migrated(self, _, data):
        assert data["from"] != data["to"]
        settled = {data["number"]}
        assert set(data["kernels"]) <= self.came[data["from"]] | settled
        self.came[data["to"]] |= set(data["kernels"])

    def begun(self, play, data):
        assert data["island"] not in self.came
        assert data["in_place_of"] not in play.policy.islands
        self.came[data["island"]] |= set(data["founders"])
        self.fresh.append(data)


@brisk
@given(script=scripts, keys=keys, seeds=st.integers(1, 2))
def test_islands_stay_apart_but_for_migrants(script, keys, seeds):
    """Whoever lives on an island was born there of parents who came there, or an event says so."""
    chronicle = Chronicle()
    play = Play(islands(**keys), seeds=seeds).run(script, check=chronicle.check)
    assert chronicle.read == len(play.changes)
    if keys["stagnation"] == 0:
        assert not chronicle.fresh


@brisk
@given(script=scripts, keys=keys)
def test_parents_are_from_one_island(script, keys):
    policy = islands(**keys)
    proposed = policy.proposed
    places = []

    def hear(number, parents):
        homes = [{m.number for m in members} for members in policy.islands.values()]
        places.append(any(set(parents) <= home for home in homes))
        proposed(number, parents)

    policy.proposed = hear
    Play(policy).run(script)
    assert all(places)


@brisk
@given(script=scripts)
def test_without_migration_nothing_but_seeds_is_shared(script):
    policy = islands(interval=0)
    play = Play(policy, seeds=2).run([Step(**{**as_dict(step), "mends": 0}) for step in script])
    shared = [number for number in play.inserted if number > 1]
    for number in shared:
        assert sum(number in [m.number for m in ms] for ms in policy.islands.values()) <= 1
    assert {change.kind for _, change in play.changes} == {SETTLED}


def as_dict(step):
    return {name: getattr(step, name) for name in step.__dataclass_fields__}


@brisk
@given(script=scripts, founder=st.sampled_from(["elite", "seed"]))
def test_the_strongest_island_never_ends(script, founder):
    policy = islands(stagnation=2, interval=0, founder=founder)
    best = []

    def check(play):
        now = {name: members[0] for name, members in policy.islands.items()}
        ended = [c.data["in_place_of"] for n, c in play.changes if c.kind == ISLAND]
        assert not {*ended} & {*policy.islands}
        strongest = max(now.values(), key=lambda k: k.fitness)
        best.append(strongest.fitness)
        assert best == sorted(best)

    Play(policy).run(script, check=check)


def test_migrants_go_round_the_ring():
    play = Play(islands(count=4, interval=8, capacity=6)).run(scripted(200, seed=2))
    moves = [c.data for _, c in play.changes if c.kind == MIGRATION]
    assert len(moves) > 20
    assert {(m["from"], m["to"]) for m in moves} == {(0, 1), (1, 2), (2, 3), (3, 0)}
    assert all(len(m["kernels"]) == 1 for m in moves)
    rate = [number for number, c in play.changes if c.kind == MIGRATION]
    order = sorted(n for n in play.inserted if n)
    assert all((order.index(number) + 1) % 8 == 0 for number in rate)


def test_migrants_go_anywhere_in_a_random_topology():
    policy = islands(count=4, interval=5, capacity=6, topology="random", migrants=2)
    play = Play(policy).run(scripted(300, seed=2))
    moves = [c.data for _, c in play.changes if c.kind == MIGRATION]
    assert {(m["from"], m["to"]) for m in moves} == {
        (a, b) for a in range(4) for b in range(4) if a != b
    }
    assert {len(m["kernels"]) for m in moves} == {1, 2}


def test_the_best_migrate_as_copies():
    policy = islands(count=2, interval=2, capacity=3, topology="ring")
    policy.insert(kernel(0, Step("a")))
    for number, gain in ((1, 0.1), (2, 0.2)):
        policy.proposed(number, (0,))
        step = Step("bc"[number - 1], logs=(gain, gain))
        changes = policy.insert(kernel(number, step, (0,)))
    moves = [change.data for change in changes if change.kind == MIGRATION]
    assert moves == [
        {"number": 2, "from": 0, "to": 1, "kernels": [1]},
        {"number": 2, "from": 1, "to": 0, "kernels": [2]},
    ]
    lives = {name: [m.number for m in members] for name, members in policy.islands.items()}
    assert lives == {0: [2, 1, 0], 1: [2, 1, 0]}


def stagnating(founder):
    """Two islands, of which the weaker one has a first child better than the seed and no other."""
    policy = islands(count=2, capacity=9, interval=0, stagnation=3, founder=founder)
    policy.insert(kernel(0, Step("a")))
    gains = [0.5, 0.2, 0.4, 0.1, 0.6, 0.1, 0.7, 0.1]
    found = []
    for number, gain in enumerate(gains, 1):
        policy.proposed(number, (0,))
        step = Step("abcdefghi"[number], logs=(gain, gain))
        found += [c.data for c in policy.insert(kernel(number, step, (0,))) if c.kind == ISLAND]
    return policy, found


@pytest.mark.parametrize(("founder", "first"), [("elite", 7), ("seed", 0)])
def test_a_fresh_island_takes_the_place_of_one_that_stagnates(founder, first):
    policy, found = stagnating(founder)
    assert found == [{"number": 8, "island": 2, "in_place_of": 1, "founders": [first]}]
    assert list(policy.islands) == [0, 2]
    assert [m.number for m in policy.islands[2]] == [first]


def test_a_fresh_island_is_left_in_peace_at_first():
    play = Play(islands(count=3, interval=1, stagnation=6, founder="seed"))
    play.run(scripted(300, seed=4))
    begun = {c.data["island"]: n for n, c in play.changes if c.kind == ISLAND}
    assert len(begun) > 2
    for name in begun:
        own = 0
        for _, change in play.changes:
            own += change.kind == SETTLED and change.data["islands"] == [name]
            assert not (change.kind == MIGRATION and change.data["to"] == name and own < 6)


def test_a_child_that_comes_too_late_goes_to_the_strongest():
    policy, _ = stagnating("seed")
    # Its island ended while it was judged.
    policy = islands(count=2, interval=0, stagnation=1, founder="seed")
    policy.insert(kernel(0, Step("a")))
    for number in (1, 2, 3, 4):
        policy.proposed(number, (0,))
    policy.insert(kernel(1, Step("b", logs=(1, 1)), (0,)))
    (settled, begun) = policy.insert(kernel(2, Step("c", logs=(-1, -1)), (0,)))
    assert (settled.data["islands"], begun.kind, begun.data["in_place_of"]) == ([1], ISLAND, 1)
    policy.insert(kernel(3, Step("d", logs=(-1, -1)), (0,)))
    settled, moved = policy.insert(kernel(4, Step("e", logs=(0.5, 0.5)), (0,)))
    assert settled.data == {"number": 4, "islands": [0]}
    assert moved.data == {"number": 4, "from": 1, "to": 0, "kernels": [4]}
    assert 4 in [m.number for m in policy.islands[0]]


def test_every_island_gets_its_share_of_proposals():
    policy = islands(count=4, interval=0, selection=Tournament(size=2))
    play = Play(policy).run(scripted(400, seed=3))
    settled = [c.data["islands"] for _, c in play.changes if c.kind == SETTLED]
    shares = [settled.count([name]) / len(settled) for name in range(4)]
    assert shares == [pytest.approx(0.25, abs=0.07)] * 4


@pytest.mark.parametrize("wrong", [{"count": 0}, {"interval": -1}, {"stagnation": -1}])
def test_impossible_islands_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        islands(**wrong)
