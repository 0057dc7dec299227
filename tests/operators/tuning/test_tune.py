import itertools
import math
import random

import pytest

from operators.operator import Inapplicable, Situation
from operators.tuning import Tune, inherit, trial_of
from populations.kernel import Candidate, Kernel
from populations.lineage import Lineage
from populations.parameters import skeleton, values, with_values
from populations.rows import Trial
from tests.contracts.samples import TRITON, failed, kernel, lineage, passed

SOURCE = """\
BLOCK = 64  # tune: 16, 32, 64, 128, 256
WARPS = 4  # tune: 1, 2, 4, 8
MODE = 'plain'  # tune: 'plain', 'fused'
"""


def speedup_of(source):
    """A smooth optimum at BLOCK 128, WARPS 2, fused; large tiles do not fit."""
    point = values(source)
    if point["BLOCK"] * point["WARPS"] > 1024:
        return None
    steps = abs(math.log2(point["BLOCK"] / 128)) + abs(math.log2(point["WARPS"] / 2))
    return math.exp(-0.3 * steps - 0.4 * (point["MODE"] == "plain"))


def situation(kernels, seed=0):
    return Situation(lineage=kernels, rng=random.Random(seed), device="cuda")


def tuned(seed, trials):
    """A search that does nothing but tune."""
    kernels = lineage(kernel(0, SOURCE, speedup_of(SOURCE)))
    rng = random.Random(seed)
    for number in range(1, trials + 1):
        answer = Tune().vary([kernels.get(0)], Situation(kernels, rng, "cuda"))
        if isinstance(answer, Inapplicable):
            break
        value = speedup_of(answer.source)
        kernels.add(kernel(number, answer.source, value, parents=(0,), operator="tune"))
    return kernels


@pytest.mark.parametrize("seed", range(3))
def test_every_point_is_proposed_once_and_then_none(seed):
    kernels = tuned(seed, trials=100)
    points = [tuple(values(k.source).values()) for k in kernels.kernels.values()]
    assert len(points) == len(set(points)) == 5 * 4 * 2
    assert len({skeleton(k.source) for k in kernels.kernels.values()}) == 1
    answer = Tune().vary([kernels.get(0)], situation(kernels))
    assert answer == Inapplicable("every point of the launch parameters is measured")


def test_it_finds_the_optimum_sooner_than_chance():
    best = max(filter(None, map(speedup_of, all_points())))
    found = []
    for seed in range(5):
        speeds = [k.evaluation.speedup for k in tuned(seed, trials=39).kernels.values()]
        values_ = [s.value if s else 0.0 for s in speeds]
        found.append(values_.index(best))
    # Chance needs 20 of the 39 other points on average.
    assert sum(found) / len(found) < 15


def all_points():
    axes = [(16, 32, 64, 128, 256), (1, 2, 4, 8), ("plain", "fused")]
    for block, warps, mode in itertools.product(*axes):
        yield with_values(SOURCE, {"BLOCK": block, "WARPS": warps, "MODE": mode})


def test_the_same_lineage_and_generator_give_the_same_point():
    kernels = tuned(1, trials=8)
    first = Tune().vary([kernels.get(0)], situation(kernels, 5))
    assert Tune().vary([kernels.get(3)], situation(kernels, 5)).source == first.source
    sources = {Tune().vary([kernels.get(0)], situation(kernels, s)).source for s in range(8)}
    assert len(sources) > 1


def test_the_note_says_what_changed():
    source = "A = 1  # tune: 1, 2\nB = True  # tune: True\n"
    answer = Tune().vary([kernel(0, source)], situation(Lineage()))
    assert answer.note == "A 1 to 2"
    assert answer.language is None


def test_kernels_of_other_operators_count_and_other_skeletons_do_not():
    source = "A = 1  # tune: 1, 2\n"
    kernels = lineage(
        kernel(0, source),
        kernel(1, source.replace("= 1", "= 2"), value=None, operator="unroll", parents=(0,)),
        kernel(2, source + "# other\n", parents=(0,)),
    )
    assert isinstance(Tune().vary([kernels.get(0)], situation(kernels)), Inapplicable)
    assert values(Tune().vary([kernels.get(2)], situation(kernels)).source) == {"A": 2}


def test_nothing_marked_is_inapplicable():
    answer = Tune().vary([kernel(0, "x = 1\n")], situation(Lineage()))
    assert answer == Inapplicable("no launch parameter is marked")


def test_a_large_space_is_no_list():
    lines = [f"P{n} = 1  # tune: {', '.join(map(str, range(1, 30)))}\n" for n in range(12)]
    kernels = lineage(kernel(0, "".join(lines)))
    answer = Tune().vary([kernels.get(0)], situation(kernels))
    assert answer.source != kernels.get(0).source


def test_a_child_inherits_the_best_point_of_its_parent_s_skeleton():
    kernels = lineage(
        kernel(0, TRITON, 1.0),
        kernel(1, TRITON.replace("= 128", "= 256"), 1.5, spread=0.01, parents=(0,)),
        kernel(2, TRITON.replace("= 128", "= 64"), 1.6, spread=0.3, parents=(0,)),
        kernel(3, TRITON.replace("WARPS = 4", "WARPS = 8"), None, parents=(0,)),
    )
    child = TRITON.replace("range(4)", "range(2)")
    assert values(inherit(child, kernels.get(0), kernels)) == {"BLOCK": 256, "WARPS": 4}
    # What the operator itself changed stays.
    assert values(inherit(child.replace("= 128", "= 64"), kernels.get(0), kernels))["BLOCK"] == 64
    # A value that is no choice of the child is left out, and so is a name that it lacks.
    fewer = child.replace("# tune: 64, 128, 256", "# tune: 64, 128")
    assert values(inherit(fewer, kernels.get(0), kernels))["BLOCK"] == 128
    assert inherit("x = 1\n", kernels.get(0), kernels) == "x = 1\n"
    assert inherit(child, kernel(9, "y = 1\n"), kernels) == child


def test_a_trial_records_point_and_value():
    candidate = Candidate(4, "A = 1  # tune: 1, 2\n", "cpp", "tune", (0,))
    digest = skeleton(candidate.source)
    ran = trial_of(Kernel(candidate, passed(2.0)))
    assert ran == Trial(4, digest, {"A": 1}, math.log(2.0), "complete")
    broke = trial_of(Kernel(candidate, failed()))
    assert broke == Trial(4, digest, {"A": 1}, None, "fail")
