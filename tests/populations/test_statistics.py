import pytest
from hypothesis import given
from hypothesis import strategies as st

from populations.statistics import COLUMNS, Progress
from tests.contracts.samples import kernel, quick


def crowned(*kernels):
    """Progress after these, and who became champion in turn."""
    progress = Progress()
    return progress, [each.number for each in kernels if progress.insert(each)]


def test_each_record_has_every_column():
    progress = Progress()
    slow, fast, wrong = kernel(0, value=0.5), kernel(1, value=8.0), kernel(2, value=None)
    progress.insert(wrong, [wrong])
    progress.insert(fast, [fast, wrong, slow])
    first, second = progress.logbook
    assert set(first) == set(second) == set(COLUMNS)
    assert first == {
        "evaluations": 1,
        "number": 2,
        "best": None,
        "median": None,
        "share_passed": 0.0,
    }
    assert second["best"] == 8.0
    assert second["median"] == pytest.approx(2.0)
    assert second["share_passed"] == 0.5
    assert "share_passed" in str(progress.logbook)


def test_a_champion_must_win_with_its_lower_end():
    wide, wider, sure = (
        kernel(0, value=1.0, spread=0.1),
        kernel(1, value=1.05, spread=0.15),
        kernel(2, value=1.05, spread=0.01),
    )
    progress, line = crowned(kernel(3, value=None), wide, wider, sure)
    assert line == [0, 2]
    assert progress.champion is sure
    assert [each.kernel.number for each in progress.hall_of_fame] == [2, 0]


def test_nobody_is_champion_before_one_passes():
    progress, line = crowned(kernel(0, value=None), kernel(1, value=None))
    assert progress.champion is None
    assert line == []


@quick
@given(
    offers=st.lists(
        st.tuples(st.one_of(st.none(), st.floats(0.1, 10)), st.floats(0, 0.5)), max_size=30
    )
)
def test_the_crown_passes_to_who_wins_with_both_ends(offers):
    progress = Progress()
    for number, (value, spread) in enumerate(offers):
        offered, leader = kernel(number, value=value, spread=spread), progress.champion
        new, old = offered.evaluation.speedup, leader and leader.evaluation.speedup
        wins = new is not None and (old is None or (new.low > old.low and new.value > old.value))
        assert progress.insert(offered, [offered]) == wins
        assert progress.champion is (offered if wins else leader)
    assert len(progress.logbook) == len(offers)


def test_a_champion_that_was_merely_lucky_gives_the_crown_back():
    progress, line = crowned(kernel(0, value=1.0), kernel(1, value=1.5), kernel(2, value=2.0))
    assert line == [0, 1, 2]
    assert not progress.remeasured(kernel(2, value=1.8))
    assert progress.champion.evaluation.speedup.value == 1.8
    assert progress.remeasured(kernel(2, value=1.2))
    assert [each.kernel.number for each in progress.hall_of_fame] == [1, 2, 0]


def test_a_kernel_that_was_unlucky_takes_the_crown():
    progress, _ = crowned(kernel(0, value=1.0), kernel(1, value=0.9))
    assert not progress.remeasured(kernel(1, value=0.95))
    assert progress.remeasured(kernel(1, value=1.1))
    assert progress.champion.number == 1


def test_whoever_came_while_a_lucky_champion_reigned_is_asked_again():
    progress = Progress()
    for each in (kernel(0), kernel(1, value=9.0), kernel(2, value=1.5), kernel(3, value=1.2)):
        progress.insert(each)
    assert progress.champion.number == 1
    assert progress.remeasured(kernel(1, value=1.1))
    assert progress.champion.number == 2


def test_a_champion_that_fails_when_measured_again_leaves_the_line():
    progress = Progress()
    progress.insert(kernel(0))
    progress.insert(kernel(1, value=2.0))
    assert progress.remeasured(kernel(1, value=None))
    assert progress.champion.number == 0
    assert [entry.kernel.number for entry in progress.hall_of_fame] == [0]
    assert progress.remeasured(kernel(0, value=None))
    assert progress.champion is None
    assert progress.insert(kernel(2, value=0.5))
    assert progress.champion.number == 2
