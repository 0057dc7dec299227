import contextlib
import io
import re

import pytest
from rich.console import Console

from evo.budget import Spent
from evo.events import BaselinesMeasured, Finished, Judged, Message, Proposed, Resumed
from evo.live import LiveView, closing_tables, panel
from evo.progress import Progress
from evo.tables import workload_rows
from evo.view import terminal_view
from populations.outcome import Outcome
from tests.evo.samples import BASELINES, kernel, passed, started


def drawn(renderable, width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()


def filled():
    progress = Progress(clock=lambda: 0.0)
    progress.add(started(evaluations=400, wall_s=480.0))
    progress.add(BaselinesMeasured(BASELINES))
    spent = Spent(evaluations=2, wall_s=1.0)
    earlier = [kernel(0, 0.42, note="plain loops"), kernel(1, outcome=Outcome.COMPILE_ERROR)]
    progress.add(Resumed(kernels=earlier, improvements=[0], spent=spent))
    note = "inner loop over channels blocked by 8 with four accumulators, rows packed to 64 bytes"
    for number in range(2, 7):
        made = kernel(
            number, 0.4 * number, operator="parallel_for_collapse", parents=(0, 1), note=note
        )
        progress.add(Proposed(made.candidate))
        if number < 5:
            spent = Spent(
                evaluations=number + 1, wall_s=20.0, device_s=13.0, cost_usd=0.25, in_flight=2
            )
            progress.add(Judged(kernel=made, is_best=True, spent=spent))
    return progress


@pytest.mark.parametrize("width", [60, 80, 120])
def test_panel_says_what_matters_at_every_width(width):
    text = drawn(panel(filled()), width)
    lines = text.splitlines()
    assert all(len(line) <= width for line in lines)
    for part in (
        "evo conv1d",
        "5/400",
        "0:20, 7:40 left",
        "1.60x [1.55, 1.65]  #4",
        "passed 4",
        "compile error 1",
        "65%",
        "$0.25",
        "2 in flight",
        "#5 parallel_for_collapse of #0, #1",
        "0.987",
        "(conv2d)",
        "earlier",
    ):
        assert part in text, part
    newest, oldest = text.rindex("1.60x"), text.rindex("0.42x")
    assert newest < oldest


def test_nothing_before_the_start():
    assert drawn(panel(Progress()), 80).strip() == ""


def test_panel_before_the_first_result():
    progress = Progress()
    progress.add(started())
    text = drawn(panel(progress), 80)
    assert text.count("none yet") == 2


def test_text_from_a_kernel_is_not_markup():
    progress = Progress()
    progress.add(started())
    made = kernel(0, 1.2, operator="seed", note="[bold red]loud[/] [/nothing] \x1b[2J")
    progress.add(Judged(kernel=made, is_best=True, spent=Spent(evaluations=1, wall_s=1.0)))
    text = drawn(panel(progress), 120)
    assert "[bold red]loud[/] [/nothing] [2J" in text
    assert "\x1b" not in text


def end(count):
    baselines = {f"fp16_B{2**i}_a_long_name": BASELINES["fp32_B8"] for i in range(count)}
    timings = tuple(
        type(t)(name, *[getattr(t, f) for f in list(t.__slots__)[1:]])
        for name in baselines
        for t in passed(1.42).timings[:1]
    )
    champion = type(passed(1.42))(
        Outcome.PASSED, 6, 6, timings=timings, speedup=passed(1.42).speedup
    )
    return Finished(
        reason="done", champion=None, table=workload_rows(baselines, None, champion), spent=Spent()
    )


@pytest.mark.parametrize("count", [1, 2, 12])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_closing_table_fits_with_every_number_whole(count, width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    for table in closing_tables(end(count), console):
        console.print(table)
    text = console.file.getvalue()
    assert "…" not in text
    assert all(len(line) <= width for line in text.splitlines())
    assert len(re.findall(r"\b0\.695\b", text)) == count
    assert text.count("[1.38, 1.46]") == count


def test_live_view_in_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    view = terminal_view(stream)
    assert isinstance(view, LiveView)
    champion = kernel(0, 1.42)
    with view:
        view.notify(Message("measuring"))
        view.notify(started(evaluations=1))
        view.notify(Proposed(champion.candidate))
        spent = Spent(evaluations=1, wall_s=1.0)
        view.notify(Judged(kernel=champion, is_best=True, spent=spent))
        table = workload_rows(BASELINES, None, champion.evaluation)
        files = {"champion": "runs/" + "long/" * 40 + "champion.py"}
        view.notify(
            Finished(reason="done", champion=champion, table=table, spent=spent, files=files)
        )
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    assert "measuring" in text
    assert text.count("champion #0: 1.42x [1.38, 1.46] over the fastest baseline") == 1
    assert files["champion"] in text
    # The cursor is given back.
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


def test_a_dumb_terminal_gets_lines(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "dumb")
    assert not isinstance(terminal_view(Terminal()), LiveView)


def test_terminal_is_given_back_after_an_error():
    view = LiveView(io.StringIO(), width=80)
    with contextlib.suppress(RuntimeError), view:
        assert view._live.is_started
        raise RuntimeError
    assert not view._live.is_started
