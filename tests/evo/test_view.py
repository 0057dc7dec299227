import io
import subprocess
import sys

import pytest

from evo.budget import Spent
from evo.events import (
    BaselinesMeasured,
    Finished,
    Judged,
    Message,
    Proposed,
    Remeasured,
    Resumed,
)
from evo.tables import workload_rows
from evo.view import PlainView, terminal_view
from populations.outcome import Outcome
from tests.evo.samples import BASELINES, kernel, passed, started
from tests.evo.test_events_progress import Clock

FILES = {"champion": "runs/conv1d/champion.py", "store": "runs/conv1d/run.db"}


def finished(champion, **spent):
    return Finished(
        reason="400 evaluations",
        champion=champion,
        table=workload_rows(BASELINES, passed(0.5), champion.evaluation if champion else None),
        spent=Spent(**spent),
        files=FILES,
    )


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shown(clock):
    """Shows events, returns the lines they added."""
    stream = io.StringIO()
    view = PlainView(stream, clock=clock)

    def show(*events):
        before = len(stream.getvalue())
        for event in events:
            view.notify(event)
        return stream.getvalue()[before:].splitlines()

    return show


def judged(made, *, is_best=False, **spent):
    return Judged(kernel=made, is_best=is_best, spent=Spent(**spent))


def test_start_names_device_and_budget(shown):
    [line] = shown(started(evaluations=400, wall_s=480.0, patience=1))
    assert line == (
        "conv1d on cpu (some processor, 2 threads), 2 workers, budget 400 evaluations or 8:00 or "
        "1 evaluation without a new champion"
    )
    assert shown(BaselinesMeasured(BASELINES))[0] == (
        "  fp32_B8: eager 1.62 ms, compile 1.31 ms, max-autotune 1.20 ms, conv2d 0.987 ms"
    )


def test_every_improvement_has_its_line(shown):
    shown(started(evaluations=400))
    made = kernel(7, 1.42, operator="tune", parents=(3,), note="TILE = 64\x1b[2J\nTILE2 = 3")
    [line] = shown(judged(made, is_best=True, evaluations=8, wall_s=61.0))
    assert line == "   1:01  best 1.42x [1.38, 1.46]  #7 tune: TILE = 64 [2J TILE2 = 3"


def test_quiet_between_improvements_but_not_for_long(shown, clock):
    shown(started(evaluations=400))
    shown(judged(kernel(0, 0.5), is_best=True, evaluations=1, wall_s=1.0))
    clock.now += 9.9
    assert shown(judged(kernel(1), evaluations=2, wall_s=10.9)) == []
    clock.now += 0.2
    [line] = shown(judged(kernel(2), evaluations=3, wall_s=11.0, device_s=5.5))
    assert line == (
        "   0:11  3/400 evaluations, 1 passed, best 0.50x [0.48, 0.52], device busy 50%, 24:16 left"
    )
    assert shown(Proposed(kernel(3).candidate)) == []


def test_messages_and_resumption(shown):
    assert shown(Message("cache is\ncold")) == ["cache is cold"]
    event = Resumed(kernels=[kernel(0, 0.4)], improvements=[0], spent=Spent(evaluations=1))
    assert shown(event) == ["going on from 1 kernel"]


def test_closing_table_and_files(shown):
    shown(started())
    lines = shown(finished(kernel(53, 1.42), evaluations=400, wall_s=412.0))
    assert lines[:2] == [
        "400 evaluations in 6:52; stopped: 400 evaluations",
        "champion #53: 1.42x [1.38, 1.46] over the fastest baseline",
    ]
    assert "0.695  1.42x [1.38, 1.46]" in lines[5]
    assert lines[-2:] == ["champion  runs/conv1d/champion.py", "store     runs/conv1d/run.db"]


def test_end_without_champion(shown):
    shown(started())
    lines = shown(finished(None, evaluations=3, wall_s=4.0))
    assert lines[1] == "no kernel passed, so there is no champion"


def test_a_reader_that_went_away_does_not_end_the_search():
    class Closed(io.StringIO):
        def write(self, _text):
            raise BrokenPipeError

    PlainView(Closed()).notify(Message("anybody there?"))


def test_a_narrow_encoding_does_not_end_the_search():
    raw = io.BytesIO()
    view = PlainView(io.TextIOWrapper(raw, encoding="ascii"))
    view.notify(Message("naïve"))
    assert raw.getvalue() == b"na?ve\n"


def test_no_terminal_no_panel():
    assert isinstance(terminal_view(io.StringIO()), PlainView)


def test_imports_stay_light():
    code = (
        "import sys, evo.events, evo.tables, evo.progress, evo.view, evo.report, evo.export\n"
        "print({'rich', 'networkx', 'torch', 'libcst', 'numpy', 'sqlalchemy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_counts_every_outcome_as_evaluation(shown, clock):
    shown(started())
    clock.now += 20
    [line] = shown(judged(kernel(0, outcome=Outcome.REJECTED), evaluations=1, wall_s=20.0))
    assert "1 evaluations, 0 passed, best none yet" in line


def test_a_crown_that_changes_hands_by_measuring_again_has_its_line(shown):
    now = Spent(wall_s=5.0)
    lucky, honest = kernel(4, 1.2), kernel(2, 1.5)
    quiet = Remeasured(kernel=honest, champion=honest, is_new=False, spent=now)
    assert shown(quiet) == []
    (line,) = shown(Remeasured(kernel=lucky, champion=honest, is_new=True, spent=now))
    assert "#2" in line
    assert "measured again, #4 is 1.20x" in line
    (line,) = shown(Remeasured(kernel=kernel(2, None), champion=None, is_new=True, spent=now))
    assert "no champion" in line
