"""Which failing kernels are mended, and what is shown of them."""

from operators.llm.operators.repair import promising
from populations.outcome import Outcome
from tests.contracts.samples import failed, kernel, lineage
from tests.operators.llm.dialogues import (
    NEW_TRITON,
    drive,
    module_answer,
    situation,
)
from tests.operators.llm.every import MINE, begin


def test_repair_shows_the_failure_and_what_was_changed():
    user = drive(begin("repair"), "GIVE UP: x").prompts[0].messages[1].text
    assert "pattern: the last column" in user
    assert "+    for (long long row = 0; row <= rows; ++row) {" in user
    assert "Kernel 3 fails: wrong values." in user


def broken(number, *, parents=(), outcome=Outcome.COMPILE_ERROR, operator="rewrite", checks=0):
    source = f"class ModelNew:\n    n = {number}\n"
    evaluation = failed(outcome, checks_passed=checks)
    return kernel(number, source, parents=parents, operator=operator, evaluation=evaluation)


def numbers(*kernels, favoured=()):
    return [k.number for k in promising(lineage(*kernels), favoured=set(favoured))]


def test_children_of_fast_parents_are_mended_first():
    fast, slow = kernel(0, value=2.0), kernel(1, value=1.5)
    children = [broken(2, parents=(1,)), broken(3, parents=(0,)), broken(4)]
    assert numbers(fast, slow, *children) == [3, 2, 4]
    assert numbers(fast, slow, *children, favoured={1}) == [2, 3, 4]


def test_a_kernel_that_passed_more_checks_promises_more():
    wrong = [broken(n, outcome=Outcome.WRONG_VALUES, checks=4 - n) for n in (1, 2, 3)]
    assert numbers(*wrong) == [1, 2, 3]
    assert numbers(broken(1, outcome=Outcome.TIMEOUT), broken(2), broken(3)) == [3, 2, 1]


def test_what_is_mended_or_hopeless_is_left():
    seed = kernel(0)
    assert numbers(seed, broken(1, outcome=Outcome.CHEATED)) == []
    assert numbers(seed, broken(1, operator="tune")) == []
    assert numbers(broken(1), kernel(2, parents=(1,), operator="repair")) == []
    assert numbers(broken(1), kernel(2, parents=(1,), operator="repair@big")) == []
    assert numbers(broken(1), kernel(2, parents=(1,), operator="rewrite")) == [1]


def test_attempts_on_one_kernel_are_bounded():
    first = broken(1, checks=3, outcome=Outcome.WRONG_VALUES)
    once = broken(2, parents=(1,), operator="repair")
    twice = broken(3, parents=(1,), operator="repair")
    assert 1 in numbers(first, once)
    assert 1 not in numbers(first, once, twice)
    chain = [broken(0)] + [broken(n, parents=(n - 1,), operator="repair") for n in range(1, 6)]
    assert 2 in numbers(*chain[:3])
    assert 3 not in numbers(*chain[:4])


def test_simultaneous_repairs_take_different_kernels():
    kernels = lineage(*(broken(n) for n in range(6)))
    taken = {
        drive(
            MINE["repair"].vary([], situation(kernels, seed=seed)), module_answer(NEW_TRITON)
        ).result.parents
        for seed in range(30)
    }
    assert 3 <= len(taken) <= 4
