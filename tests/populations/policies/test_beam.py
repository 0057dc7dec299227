import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from populations.policies.beam import Beam
from tests.contracts.play import Play, Step, kernel, scripts
from tests.contracts.samples import quick


@settings(quick, max_examples=60)
@given(script=scripts, width=st.integers(1, 4), branching=st.integers(1, 3))
def test_a_beam_is_renewed_generation_by_generation_and_never_gets_worse(script, width, branching):
    policy = Beam(width=width, branching=branching)
    seen = []

    def check(play):
        seen.append((len(play.inserted) - 1, policy.beam))
        assert len(policy.beam) <= width

    play = Play(policy).run(script, check=check)
    # A seed that failed gives way to the first kernel that passes.
    passing = min(n for n, k in enumerate(play.inserted.values()) if k.passed)
    for (_, before), (judged, after) in pairwise(seen):
        renewed = after != before
        assert not renewed or judged == passing or judged % (width * branching) == 0
        # Place for place the new beam is at least as good as the old one.
        assert all(a.fitness >= b.fitness for a, b in zip(after, before, strict=False))


def test_the_next_beam_is_the_best_of_parents_and_children():
    policy = Beam(width=2, branching=2)
    policy.insert(kernel(0, Step("a", logs=(0.4, 0.4))))
    for number, gain in enumerate((0.1, 0.5, 0.3, 0.2), 1):
        assert [k.number for k in policy.beam] == [0]
        policy.proposed(number, (0,))
        policy.insert(kernel(number, Step("abcde"[number], logs=(gain, gain)), (0,)))
    assert [k.number for k in policy.beam] == [2, 0]


def test_the_least_expanded_have_most_chances():
    policy = Beam(width=3, branching=10)
    for number in range(3):
        policy.insert(kernel(number, Step("abc"[number], logs=(0.1, 0.1))))
    for number, parent in enumerate((0, 0, 1), 3):
        policy.proposed(number, (parent,))
    rng = random.Random(1)
    drawn = Counter(policy.parents(1, rng)[0].number for _ in range(4000))
    assert [drawn[n] / 4000 for n in range(3)] == [
        pytest.approx(w / 7, abs=0.03) for w in (1, 2, 4)
    ]


@pytest.mark.parametrize("wrong", [{"width": 0, "branching": 1}, {"width": 1, "branching": 0}])
def test_impossible_beams_are_refused(wrong):
    with pytest.raises(ValueError, match=r"at least 1 member|needs children"):
        Beam(**wrong)
