import math
import random

import pytest

from operators.operator import Inapplicable, Situation
from operators.tuning import Tune
from operators.tuning.space import space_of
from populations.constraints import constraints, feasible
from populations.parameters import values
from tests.contracts.samples import kernel, lineage
from tests.operators.tuning.samples import (
    CONSTRAINT,
    LIMIT,
    TILES,
    log_speedup,
    needed,
    tuned,
)

SPACE = space_of([kernel(0, TILES)])
BEST = max(log for point in SPACE.points() if (log := log_speedup(SPACE.named(point))) is not None)
FACTS = {"shared_memory": LIMIT}


def logs(made):
    return [log_speedup(values(k.source)) for k in made]


@pytest.mark.parametrize("in_flight", [1, 8])
def test_it_finds_the_best_of_600_points_within_15_percent(in_flight):
    assert SPACE.size == 600
    reached = []
    for seed in range(2):
        made = tuned(Tune(sampler="expected"), seed, 90, in_flight=in_flight)
        found = [log for log in logs(made) if log is not None]
        reached.append(max(found) >= BEST - 0.01)
        assert len({k.source for k in made}) == 90
    assert all(reached)


@pytest.mark.parametrize("sampler", ["tpe", "expected"])
def test_what_the_source_refuses_is_never_proposed_and_the_rest_all_is(sampler):
    small = "\n".join(TILES.splitlines()[2:]) + "\n# tune-if: STAGES * WARPS <= 12\n"
    source = "BLOCK_M = 64  # tune: 64\nBLOCK_K = 32  # tune: 32\n" + small
    made = tuned(Tune(sampler=sampler), 1, 100, source)
    points = [tuple(values(k.source).values()) for k in made]
    wanted = [
        p
        for p in space_of([kernel(0, source)]).points()
        if feasible(dict(zip(SPACE.names, p, strict=True)), constraints(source), {})
    ]
    assert 0 < len(wanted) < 24
    assert sorted(points) == sorted(wanted)


def test_a_constraint_spares_what_does_not_fit():
    without = tuned(Tune(sampler="expected"), 2, 40)
    assert None in logs(without)
    with_it = tuned(Tune(sampler="expected"), 2, 40, TILES + CONSTRAINT, facts=FACTS)
    assert None not in logs(with_it)


def test_learned_bounds_spare_failures_and_keep_every_point_within_reach():
    failures = {}
    for learn in (False, True):
        made = tuned(Tune(sampler="tpe", learn=learn), 3, 80)
        failures[learn] = logs(made).count(None)
    assert failures[True] < 0.7 * failures[False]
    source = TILES.replace("16, 32, 64, 128, 256", "64, 256").replace("2, 4, 8", "4")
    source = source.replace("= 32 ", "= 64 ")
    made = tuned(Tune(sampler="expected", learn=True), 3, 100, source)
    assert len(made) == 2 * 2 * 4 * 2
    fits = [needed(values(k.source)) <= LIMIT for k in made]
    # What does not fit comes last, but for what had to show it.
    assert not all(fits)
    assert fits[-2:] == [False, False]


def test_points_under_way_are_not_proposed_again():
    for in_flight in (2, 16):
        made = tuned(Tune(sampler="expected"), 5, 40, in_flight=in_flight)
        assert len({k.source for k in made}) == 40


def test_a_large_space():
    lines = [f"P{n} = 1  # tune: {', '.join(map(str, range(1, 30)))}\n" for n in range(6)]
    source = "".join(lines) + "# tune-if: P0 + P1 < 20\n"

    def speed(point):
        return math.exp(-0.01 * sum(abs(value - 9) for value in point.values()))

    kernels = [kernel(0, source, speed(values(source)))]
    known, rng = lineage(*kernels), random.Random(1)
    for number in range(1, 40):
        answer = Tune(sampler="expected").vary([kernels[0]], Situation(known, rng, "cuda"))
        assert not isinstance(answer, Inapplicable)
        point = values(answer.source)
        assert point["P0"] + point["P1"] < 20
        known.add(kernel(number, answer.source, speed(point), parents=(0,)))
    best = max(k.evaluation.speedup.value for k in known.kernels.values())
    assert best > 0.8
