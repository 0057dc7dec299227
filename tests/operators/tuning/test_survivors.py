import random

import pytest

from operators.operator import Situation
from operators.tuning import Tune
from operators.tuning.survivors import FACTOR, FIRST, Survivor, entitled, survivors
from populations.kernel import Kernel
from populations.outcome import Evaluation
from populations.parameters import skeleton, values, with_values
from tests.contracts.samples import kernel, lineage


def source(name, at=1):
    return f"# {name}\nA = {at}  # tune: {', '.join(map(str, range(1, 200)))}\n"


def study(name, trials, best, start):
    """Kernels of one skeleton, the first of them the best."""
    speeds = [best, *[best * 0.9] * (trials - 1)]
    return [
        kernel(start + n, source(name, n + 1), speed, spread=0.001)
        for n, speed in enumerate(speeds)
    ]


def archive(**arms):
    """Each arm: (trials, best)."""
    kernels = []
    for name, (trials, best) in arms.items():
        kernels += study(name, trials, best, len(kernels))
    return lineage(*kernels)


def named(found):
    return [s.best.source[2] for s in found]


def test_the_best_skeletons_with_parameters_survive():
    kernels = archive(a=(3, 1.0), b=(2, 2.0), c=(1, 1.5))
    kernels.add(kernel(6, "nothing = 1\n", 9.0))
    kernels.add(kernel(7, source("d"), None))
    found = survivors(kernels, 5)
    assert named(found) == ["b", "c", "a"]
    assert [len(s.study) for s in found] == [2, 1, 3]
    assert named(survivors(kernels, 2)) == ["b", "c"]


@pytest.mark.parametrize(
    ("trials", "rung"), [(1, 0), (FIRST, 1), (FIRST * FACTOR - 1, 1), (FIRST * FACTOR**2, 3)]
)
def test_rungs(trials, rung):
    own = study("a", trials, 1.0, 0)
    assert Survivor(own[0], tuple(own)).rung == rung


def test_newcomers_and_the_best_third_of_each_rung_go_on():
    arms = {"a": (12, 3.0), "b": (4, 2.5), "c": (5, 2.0), "d": (1, 1.9), "e": (4, 1.8)}
    arms |= {"f": (4, 1.7), "g": (4, 1.6)}
    found = survivors(archive(**arms), 9)
    # Six completed the first rung: two of them go on. One completed the second.
    assert named(entitled(found)) == ["a", "b", "d"]


def test_somebody_always_goes_on():
    found = survivors(archive(a=(4, 1.0), b=(4, 0.9)), 9)
    assert named(entitled(found)) == ["a"]
    assert entitled([]) == []


def situation(kernels, **more):
    return Situation(kernels, random.Random(0), "cuda", **more)


def test_trials_go_to_a_survivor_whoever_was_chosen():
    kernels = archive(a=(3, 1.0), b=(3, 2.0))
    weak = kernels.get(0)
    made = Tune(sampler="expected", share="promise").vary([weak], situation(kernels))
    parents = {kernels.get(n).source[2] for n in made.parents}
    assert made.source[2] in parents
    assert made.language == weak.candidate.language
    assert values(made.source) != values(kernels.get(made.parents[0]).source)


def with_cost(kernels, cost):
    """The same kernels, each taking as much of the device as its skeleton's name says."""
    changed = []
    for k in kernels.kernels.values():
        old = k.evaluation
        evaluation = Evaluation(
            old.outcome, 4, 4, timings=old.timings, speedup=old.speedup, device_s=cost[k.source[2]]
        )
        changed.append(Kernel(k.candidate, evaluation))
    return lineage(*changed)


@pytest.mark.parametrize("sampler", ["tpe", "expected"])
@pytest.mark.parametrize("cheap", ["a", "b"])
def test_the_device_s_time_counts(cheap, sampler):
    kernels = archive(a=(3, 1.5), b=(3, 1.5))
    kernels = with_cost(kernels, {"a": 1.0, "b": 1.0} | {cheap: 0.1})
    made = Tune(sampler=sampler, share="promise").vary([kernels.get(0)], situation(kernels))
    assert made.source[2] == cheap


def test_a_skeleton_without_room_leaves_its_trials_to_others():
    few = "# z\nA = 1  # tune: 1, 2\n"
    kernels = lineage(
        kernel(0, few, 9.0), kernel(1, with_values(few, {"A": 2}), 8.0), kernel(2, source("a"), 1.0)
    )
    tune = Tune(sampler="expected", share="promise")
    made = tune.vary([kernels.get(0)], situation(kernels))
    assert made.parents == (2,)
    nothing = lineage(kernels.get(0), kernels.get(1))
    assert "measured" in tune.vary([kernels.get(0)], situation(nothing)).reason


def test_what_was_found_before_changes_nothing():
    kernels = archive(a=(5, 1.0), b=(5, 2.0))
    old = Tune(sampler="expected", share="promise")
    for number in range(10, 16):
        first = old.vary([kernels.get(0)], situation(kernels))
        fresh = Tune(sampler="expected", share="promise").vary([kernels.get(0)], situation(kernels))
        assert first == fresh
        kernels.add(kernel(number, first.source, 1.0 + number / 20, parents=first.parents))
    assert len({skeleton(k.source) for k in kernels.kernels.values()}) == 2
