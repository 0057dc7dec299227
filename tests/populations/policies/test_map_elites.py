import random

import pytest
from hypothesis import given, settings

from populations.policies.descriptors import language, size
from populations.policies.map_elites import MapElites
from populations.selection import RandomSelection, Tournament
from tests.contracts.play import Play, Step, kernel, scripted, scripts
from tests.contracts.samples import quick


def archive(*descriptors, selection=None):
    return MapElites(descriptors=descriptors, selection=selection or RandomSelection())


def cell(each):
    return language(each), size(each)


@settings(quick, max_examples=60)
@given(script=scripts)
def test_an_elite_is_lost_to_a_better_one_of_its_cell_alone(script):
    """Each cell holds the best that ever fell into it, the elder of equals, and nothing is left."""

    def check(play):
        seen = {}
        for each in sorted(play.inserted.values(), key=lambda k: (k.fitness, -k.number)):
            if each.passed:
                seen[cell(each)] = each
        assert dict(play.policy.elites) == seen

    Play(archive(language, size)).run(script, check=check)


def test_without_descriptors_there_is_one_cell():
    play = Play(archive()).run(scripted(60, seed=1))
    assert len(play.policy.elites) == 1
    assert len(play.policy.members) == 1


def test_a_slow_kernel_of_its_own_kind_lives():
    policy = archive(language)
    for number, (code, gain) in enumerate([("a", 1.0), ("b", 0.5), ("d", -1.0)]):
        policy.insert(kernel(number, Step(code, logs=(gain, gain))))
    assert {c: k.number for c, k in policy.elites.items()} == {("cpp",): 0, ("triton",): 2}


@pytest.mark.parametrize(
    ("selection", "share"), [(RandomSelection(), 1 / 2), (Tournament(size=3), 1 - (1 / 2) ** 3)]
)
def test_the_selection_says_how_much_the_best_elite_counts(selection, share):
    policy = archive(language, selection=selection)
    policy.insert(kernel(0, Step("a", logs=(1.0, 1.0))))
    policy.insert(kernel(1, Step("d", logs=(0.0, 0.0))))
    rng = random.Random(1)
    drawn = [policy.parents(1, rng)[0].number for _ in range(2000)]
    assert drawn.count(0) / 2000 == pytest.approx(share, abs=0.04)
