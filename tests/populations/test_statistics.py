import pytest

from populations.fitness import individuals
from populations.statistics import COLUMNS, Progress
from tests.contracts.samples import kernel


def test_each_record_has_every_column():
    progress = Progress()
    slow, fast, wrong = kernel(0, value=0.5), kernel(1, value=8.0), kernel(2, value=None)
    progress.record(wrong, members=individuals([wrong]), champion=None)
    progress.record(fast, members=individuals([fast, wrong, slow]), champion=fast)
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
