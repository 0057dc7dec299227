"""Greedy search and the random control: the ends between which policies lie."""

import random
from collections import Counter

from hypothesis import given, settings

from populations.policies.control import Control
from populations.policies.greedy import Greedy
from tests.contracts.play import Play, Step, kernel, scripted, scripts
from tests.contracts.samples import quick


@settings(quick, max_examples=60)
@given(script=scripts)
def test_the_best_is_the_parent_of_every_child(script):
    def check(play):
        best = max(play.inserted.values(), key=lambda k: (k.fitness, -k.number))
        for count in (1, 3):
            parent = play.policy.parents(count, random.Random(count))[0]
            assert parent.fitness == best.fitness

    Play(Greedy(capacity=4)).run(script, check=check)


def test_partners_are_drawn():
    policy = Greedy(capacity=5)
    for number, gain in enumerate((0.1, 0.2, 0.3, 0.4)):
        policy.insert(kernel(number, Step("abcd"[number], logs=(gain, gain))))
    rng = random.Random(1)
    pairs = Counter(tuple(k.number for k in policy.parents(2, rng)) for _ in range(900))
    assert set(pairs) == {(3, 0), (3, 1), (3, 2)}
    assert min(pairs.values()) > 230


def test_the_control_has_no_favourites():
    policy = Play(Control(shown=3)).run(scripted(40, seed=2)).policy
    passed = [k.number for k in policy._passed.values()]
    rng = random.Random(1)
    drawn = Counter(policy.parents(1, rng)[0].number for _ in range(100 * len(passed)))
    assert set(drawn) == set(passed)
    assert max(drawn.values()) < 2 * min(drawn.values())
    assert len(policy.members) == 3
