import pytest

from evo.budget import Budget, Spent, remaining, time_left_s
from evo.events import BaselinesMeasured, Finished, Judged, Proposed, Remeasured, Resumed
from evo.progress import KEPT, Progress
from populations.outcome import Outcome
from tests.evo.samples import BASELINES, kernel, started


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def progress(clock):
    progress = Progress(clock=clock)
    progress.add(started(evaluations=100, wall_s=60.0))
    progress.add(BaselinesMeasured(BASELINES))
    return progress


def judged(made, *, is_best=False, **spent):
    return Judged(kernel=made, is_best=is_best, spent=Spent(**spent))


def test_what_is_left_of_a_budget():
    budget = Budget(evaluations=10, wall_s=60.0, patience=5)
    spent = Spent(evaluations=4, wall_s=70.0, device_s=9.0, since_best=2)
    assert remaining(budget, spent) == Budget(evaluations=6, wall_s=0.0, patience=3)


def test_time_left_is_that_of_the_first_limit():
    spent = Spent(evaluations=20, wall_s=10.0, device_s=5.0)
    assert time_left_s(Budget(), spent) is None
    assert time_left_s(Budget(patience=3), spent) is None
    assert time_left_s(Budget(evaluations=100), spent) == pytest.approx(40.0)
    assert time_left_s(Budget(evaluations=100, wall_s=30.0), spent) == pytest.approx(20.0)
    assert time_left_s(Budget(evaluations=100, device_s=7.5), spent) == pytest.approx(5.0)
    assert time_left_s(Budget(evaluations=100), Spent(wall_s=3.0)) is None


def test_time_stands_still_before_the_search_and_after_it(progress, clock):
    clock.now += 30
    assert progress.spent.wall_s == 0
    progress.add(Proposed(kernel(0, 0.5).candidate))
    clock.now += 2
    assert progress.spent.wall_s == 2
    progress.add(judged(kernel(0, 0.5), evaluations=1, wall_s=3.0))
    clock.now += 4
    assert progress.spent.wall_s == 7
    assert progress.time_left_s == pytest.approx(53.0)
    end = Spent(evaluations=1, wall_s=8.0)
    progress.add(Finished(reason="", champion=None, table=(), spent=end))
    clock.now += 100
    assert progress.spent == end


def test_shares(progress, clock):
    progress.add(judged(kernel(0, 0.5), evaluations=50, wall_s=12.0, device_s=3.0))
    assert progress.share_spent == pytest.approx(0.5)
    assert progress.device_share == pytest.approx(0.25)
    clock.now += 42
    assert progress.share_spent == pytest.approx(0.9)
    progress.add(judged(kernel(1, 0.5), evaluations=51, wall_s=5.0, device_s=9.0))
    assert progress.device_share == 1.0


def test_no_limit_no_share():
    progress = Progress()
    assert progress.share_spent is None
    assert progress.device_share == 0.0
    assert progress.time_left_s is None


def test_counts_and_improvements(progress):
    for number in range(KEPT + 3):
        made = kernel(number, 1.0 + number)
        progress.add(Proposed(made.candidate))
        assert list(progress.under_way) == [number]
        progress.add(judged(made, is_best=number != 1, evaluations=number + 1, wall_s=2.0 * number))
    progress.add(judged(kernel(99, outcome=Outcome.TIMEOUT), evaluations=10, wall_s=30.0))
    assert not progress.under_way
    assert progress.outcomes == {Outcome.PASSED: KEPT + 3, Outcome.TIMEOUT: 1}
    assert progress.best.number == KEPT + 2
    assert [i.kernel.number for i in progress.improvements] == list(range(3, KEPT + 3))
    assert progress.improvements[-1].wall_s == 2.0 * (KEPT + 2)


def test_resumed_run_goes_on_counting(progress):
    kernels = [kernel(0, 0.4), kernel(1, outcome=Outcome.CHEATED), kernel(2, 1.2)]
    spent = Spent(evaluations=3, wall_s=20.0)
    progress.add(Resumed(kernels=kernels, improvements=[0, 2], spent=spent))
    assert progress.best is kernels[2]
    assert [i.wall_s for i in progress.improvements] == [None, None]
    assert progress.outcomes == {Outcome.PASSED: 2, Outcome.CHEATED: 1}
    progress.add(judged(kernel(3, 1.0), evaluations=4, wall_s=21.0))
    assert progress.best is kernels[2]
    assert progress.outcomes[Outcome.PASSED] == 3


def test_a_champion_that_is_measured_down_is_shown_with_its_successor(progress):
    lucky, honest = kernel(1, 3.0), kernel(2, 1.5)
    progress.add(judged(lucky, is_best=True, evaluations=1))
    progress.add(judged(honest, evaluations=2))
    progress.add(
        Remeasured(kernel=kernel(1, 1.2), champion=honest, is_new=True, spent=Spent(evaluations=3))
    )
    assert progress.best is honest
    assert [improvement.kernel for improvement in progress.improvements] == [lucky, honest]
    assert progress.spent.evaluations == 3
    better = kernel(2, 1.6)
    progress.add(
        Remeasured(kernel=better, champion=better, is_new=False, spent=Spent(evaluations=4))
    )
    assert progress.best is better
    assert len(progress.improvements) == 2
