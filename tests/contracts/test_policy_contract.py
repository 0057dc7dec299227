"""What every policy keeps. A new one joins by standing in evo.policies.POLICIES."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo.policies import POLICIES
from evo.settings import BeamConfig, IslandsConfig, SearchConfig
from populations.kernel import Kernel
from populations.policies.policy import CHANGES
from tests.contracts.play import Play, Step, evaluation, kernel, scripted, scripts, told
from tests.contracts.samples import quick

# Small, so that a script of a few dozen steps makes everything happen that can.
SMALL = SearchConfig(
    seed=5,
    population=6,
    islands=IslandsConfig(count=3, interval=5, stagnation=6),
    beam=BeamConfig(width=3, branching=2),
)
SETTINGS = {name: replace(SMALL, policy=name) for name in POLICIES} | {
    "islands that begin with seeds": replace(
        SMALL,
        policy="islands",
        islands=IslandsConfig(
            count=3, interval=4, migrants=2, topology="random", stagnation=5, founder="seed"
        ),
    ),
    "one island": replace(SMALL, policy="islands", islands=IslandsConfig(count=1, stagnation=3)),
    "uniform elites": replace(SMALL, policy="map_elites", selection="random"),
}
brisk = settings(quick, max_examples=20)
each_policy = pytest.mark.parametrize("name", SETTINGS)


def made(name):
    search = SETTINGS[name]
    return POLICIES[search.policy](search)


def to_choose_from(policy):
    """How many parents a policy can choose at once."""
    if hasattr(policy, "islands"):
        return max(len(members) for members in policy.islands.values())
    return len(policy.beam if hasattr(policy, "beam") else policy.members)


def numbers(kernels):
    return [each.number for each in kernels]


def state(policy):
    """What can be seen of a policy, future choices included."""
    chosen = [numbers(policy.parents(1 + n % 3, random.Random(n))) for n in range(12)]
    return numbers(policy.members), chosen


def test_every_policy_of_the_settings_is_tested():
    assert set(SearchConfig.__annotations__) >= {"policy", "islands", "map_elites", "mcts", "beam"}
    assert {search.policy for search in SETTINGS.values()} == set(POLICIES)


@each_policy
def test_nobody_can_be_a_parent_before_a_seed_is_there(name):
    with pytest.raises(ValueError, match="empty"):
        made(name).parents(1, random.Random(0))


@each_policy
@brisk
@given(script=scripts, seeds=st.integers(1, 3), in_flight=st.integers(1, 6))
def test_the_same_results_give_the_same_search(name, script, seeds, in_flight):
    plays = [Play(made(name), in_flight=in_flight, seeds=seeds).run(script) for _ in range(2)]
    assert plays[0].chosen == plays[1].chosen
    assert plays[0].changes == plays[1].changes
    assert state(plays[0].policy) == state(plays[1].policy)


@each_policy
@brisk
@given(script=scripts)
def test_choosing_changes_nothing(name, script):
    """An operator that finds no use for its parents leaves no trace."""

    def meddle(policy, number):
        for n in range(number % 4):
            policy.parents(1 + n, random.Random(n))

    undisturbed = Play(made(name)).run(script)
    disturbed = Play(made(name), meddle=meddle).run(script)
    assert disturbed.chosen == undisturbed.chosen
    assert disturbed.changes == undisturbed.changes


@each_policy
@brisk
@given(script=scripts, cut=st.integers(0, 60))
def test_a_resumed_search_goes_on_unbroken(name, script, cut):
    """Told again what was proposed and what came of it, another one is in the same state."""
    seen = []

    def check(play):
        if len(play.calls) > cut and not seen:
            seen.append((len(play.calls), state(play.policy)))

    play = Play(made(name), in_flight=3).run(script, check=check)
    for count, then in [*seen, (len(play.calls), state(play.policy))]:
        assert state(told(made(name), play.calls[:count])) == then


@each_policy
@brisk
@given(script=scripts, more=scripts)
def test_what_is_kept_as_events_does_not_depend_on_later_proposals(name, script, more):
    """A run that has come to its end inserts everything; one that goes on was slower."""
    ended = Play(made(name), in_flight=4).run(script)
    longer = Play(made(name), in_flight=4).run([*script, *more])
    count = len(ended.changes)
    assert longer.changes[:count] == ended.changes


@each_policy
@brisk
@given(script=scripts, seeds=st.integers(1, 2))
def test_parents_are_judged_kernels_that_passed_if_any_did(name, script, seeds):
    def check(play):
        passed = any(each.passed for each in play.inserted.values())
        for count in (1, 2, 4):
            parents = play.policy.parents(count, random.Random(count))
            assert len(parents) == count
            for parent in parents:
                assert play.inserted[parent.number] is parent
                assert parent.passed or not passed
            distinct = len(set(numbers(parents)))
            assert distinct >= min(count, 2, to_choose_from(play.policy))

    Play(made(name), seeds=seeds).run(script, check=check)


@each_policy
@brisk
@given(script=scripts)
def test_the_best_kernel_is_never_lost(name, script):
    """Members are ordered, each is there once, and the first is the best that there ever was."""

    def check(play):
        members = play.policy.members
        assert len(set(numbers(members))) == len(members)
        ranks = [(k.fitness, -k.number) for k in members]
        assert ranks == sorted(ranks, reverse=True)
        assert members[0].fitness == max(k.fitness for k in play.inserted.values())
        assert all(play.inserted[k.number] is k for k in members)

    Play(made(name)).run(script, check=check)


@each_policy
@brisk
@given(script=scripts)
def test_events_are_of_known_kinds_and_can_be_stored(name, script):
    play = Play(made(name)).run(script)
    for number, change in play.changes:
        assert change.kind in CHANGES
        assert change.data["number"] == number
        assert json.loads(json.dumps(dict(change.data))) == dict(change.data)


@each_policy
@brisk
@given(script=scripts, which=st.integers(0, 5), log=st.floats(-2, 2))
def test_a_better_estimate_takes_the_place_of_the_first(name, script, which, log):
    policy = Play(made(name)).run(script).policy
    members = policy.members
    if not members[0].passed:
        return
    old = members[which % len(members)]
    new = Kernel(old.candidate, evaluation((log, log)))
    policy.remeasured(new)
    assert any(member is new for member in policy.members)
    assert set(numbers(policy.members)) <= set(numbers(members))
    ranks = [member.fitness for member in policy.members]
    assert ranks == sorted(ranks, reverse=True)
    assert all(
        parent is not old for n in range(9) for parent in policy.parents(2, random.Random(n))
    )


@each_policy
@brisk
@given(script=scripts, which=st.integers(0, 5))
def test_a_kernel_that_fails_when_it_is_measured_again_leaves(name, script, which):
    policy = Play(made(name)).run(script).policy
    members = [member for member in policy.members if member.passed]
    if len(members) < 2:
        return
    old = members[which % len(members)]
    policy.remeasured(Kernel(old.candidate, evaluation(None)))
    assert old.number not in numbers(k for k in policy.members if k.passed)
    assert all(
        parent is not old for n in range(9) for parent in policy.parents(2, random.Random(n))
    )
    # And everything goes on.
    for each in range(5):
        number = 10_000 + each
        chosen = policy.parents(1, random.Random(each))
        policy.proposed(number, numbers(chosen))
        policy.insert(kernel(number, Step("ab"[each % 2], logs=(1.5, 1.5)), tuple(numbers(chosen))))
    assert policy.members[0].passed


@each_policy
def test_failures_lead_nowhere_once_something_has_passed(name):
    policy = made(name)
    policy.insert(kernel(0, Step(logs=None)))
    policy.proposed(1, (0,))
    assert numbers(policy.parents(1, random.Random(0))) == [0]
    policy.insert(kernel(1, Step("b"), (0,)))
    assert numbers(policy.members) == [1]
    policy.proposed(2, (1,))
    policy.insert(kernel(2, Step("c", logs=None), (1,)))
    assert {k.number for n in range(20) for k in policy.parents(2, random.Random(n))} == {1}


@each_policy
def test_a_long_search_uses_more_than_one_parent(name):
    play = Play(made(name)).run(scripted(150, seed=1))
    assert len({n for chosen in play.chosen.values() for n in chosen}) >= 5
