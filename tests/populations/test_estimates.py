import pytest

from populations.estimates import Estimates
from populations.pooling import combine
from tests.contracts.samples import failed, kernel, passed


@pytest.fixture
def estimates():
    return Estimates(again=2)


def asked(estimates, champion, *others):
    found = estimates.doubtful(champion, (champion, *others))
    return found and found.number


def test_nobody_is_measured_again_without_leave_or_a_champion(estimates):
    champion = kernel(0)
    assert Estimates(again=0).doubtful(champion, [champion]) is None
    assert estimates.doubtful(None, [kernel(1, value=None)]) is None


def test_who_seems_best_is_measured_first_and_each_only_so_often(estimates):
    champion, challenger = kernel(3, value=2.0), kernel(5, value=2.5, spread=0.5)
    order = []
    while (found := estimates.doubtful(champion, [champion, challenger])) is not None:
        order.append(found.number)
        estimates.begin(found)
        # Another measurement of the same is not begun before this one is in.
        assert asked(estimates, champion, challenger) != found.number
        measured = estimates.measured(found, found.evaluation)
        champion, challenger = (
            measured if k.number == found.number else k for k in (champion, challenger)
        )
    assert order == [5, 5, 3, 3]


def test_those_who_seem_slower_are_left_alone(estimates):
    champion, others = kernel(3, value=2.0), (kernel(4, value=1.99), kernel(5, value=None))
    assert asked(estimates, champion, *others) == 3
    estimates.begin(champion)
    assert asked(estimates, champion, *others) is None
    # A lucky one with so wide an interval that it does not reign is found out all the same.
    assert asked(estimates, champion, kernel(6, value=2.0, spread=0.9)) == 6


def test_what_is_believed_are_all_measurements_together(estimates):
    first = kernel(0, value=2.0)
    estimates.begin(first)
    second = estimates.measured(first, passed(1.5))
    assert second.candidate == first.candidate
    assert second.evaluation.speedup == combine([passed(2.0).speedup, passed(1.5).speedup])
    estimates.begin(second)
    third = estimates.measured(second, passed(1.6))
    runs = [passed(value).speedup for value in (2.0, 1.5, 1.6)]
    assert third.evaluation.speedup == combine(runs)
    assert not estimates.measured(third, failed()).passed
