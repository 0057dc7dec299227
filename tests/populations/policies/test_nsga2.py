import math
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from populations.parameters import skeleton
from populations.policies.nsga2 import Nsga2
from tests.contracts.play import Play, Step, kernel, scripted, scripts
from tests.contracts.samples import quick

brisk = settings(quick, max_examples=60)


def goals(each):
    """What is to be maximised, without the overall speedup: it decides no dominance."""
    return tuple(math.log(timing.speedup.low) for timing in each.evaluation.timings)


def dominates(one, other):
    pairs = list(zip(goals(one), goals(other), strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


@brisk
@given(script=scripts, capacity=st.integers(1, 9))
def test_the_front_is_what_nobody_dominates(script, capacity):
    def check(play):
        members = play.policy.members
        assert len(members) <= capacity
        if not members[0].passed:
            return
        free = [m for m in members if not any(dominates(other, m) for other in members)]
        assert list(play.policy.front) == free

    Play(Nsga2(capacity=capacity)).run(script, check=check)


@brisk
@given(script=scripts)
def test_the_best_of_every_workload_lives(script):
    """Ends of objectives are never crowded out: at most two of each of three."""
    best = [-math.inf, -math.inf]

    def check(play):
        new = list(play.inserted.values())[-1]
        if new.passed:
            best[:] = map(max, best, goals(new))
        if (members := play.policy.members)[0].passed:
            found = [max(each) for each in zip(*map(goals, members), strict=True)]
            assert found == best

    Play(Nsga2(capacity=7)).run(script, check=check)


@brisk
@given(script=scripts)
def test_of_one_skeleton_none_dominates_another(script):
    members = Play(Nsga2(capacity=9)).run(script).policy.members
    for one in members if members[0].passed else ():
        for other in members:
            if one is not other and skeleton(one.source) == skeleton(other.source):
                assert not dominates(one, other)
                assert goals(one) != goals(other)


def test_the_better_front_wins_and_then_the_less_crowded_place():
    policy = Nsga2(capacity=5)
    # A front of four, the third close to the second, and one that is dominated.
    values = [(2.0, -2.0), (0.1, 0.1), (0.0, 0.15), (-2.0, 2.0), (-1.0, -1.0)]
    for number, logs in enumerate(values):
        policy.insert(kernel(number, Step("abcde"[number], logs=logs, spread=0.0)))
    assert {k.number for k in policy.front} == {0, 1, 2, 3}
    rng = random.Random(1)
    drawn = [policy.parents(1, rng)[0].number for _ in range(5000)]
    # The last one wins only against itself: once in 25.
    assert 0.02 < drawn.count(4) / 5000 < 0.06
    assert drawn.count(0) > 1.5 * drawn.count(2)


def test_specialists_live_beside_the_fair():
    play = Play(Nsga2(capacity=8)).run(scripted(200, seed=6))
    assert len(play.policy.front) > 2
    first = play.policy.members[0]
    assert any(goals(k)[0] > goals(first)[0] for k in play.policy.front)
