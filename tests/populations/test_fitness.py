import copy
import pickle

from deap.tools import HallOfFame, selBest

from populations.fitness import Fitness, individual, individuals
from populations.outcome import Outcome
from tests.contracts.samples import failed, kernel

BROKEN = kernel(0, evaluation=failed(Outcome.COMPILE_ERROR))
CLOSE = kernel(1, evaluation=failed(checks_passed=3))
SLOW = kernel(2, value=0.5)
FAST = kernel(3, value=2.0)


def test_checks_come_first_then_speed():
    ranked = selBest(individuals([SLOW, BROKEN, FAST, CLOSE]), 4)
    assert [each.kernel for each in ranked] == [FAST, SLOW, CLOSE, BROKEN]


def test_a_kernel_that_was_not_timed_is_behind_every_timed_one():
    assert Fitness((1.0, float("-inf"))) < Fitness((1.0, -100.0))
    assert individual(CLOSE).fitness.values == (0.75, float("-inf"))


def test_fitness_is_picklable():
    fitness = individual(FAST).fitness
    assert pickle.loads(pickle.dumps(fitness)) == fitness
    assert type(pickle.loads(pickle.dumps(fitness))) is Fitness


def test_a_hall_of_fame_keeps_the_very_kernel():
    hall = HallOfFame(maxsize=2)
    hall.update(individuals([SLOW, FAST, BROKEN]))
    assert [each.kernel for each in hall] == [FAST, SLOW]
    assert hall[0].kernel is FAST
    member = individual(FAST)
    assert copy.deepcopy(member) is member
