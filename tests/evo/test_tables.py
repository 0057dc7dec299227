import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo.tables import (
    baseline_names,
    closing_table,
    format_count,
    format_duration,
    format_ms,
    format_ratio,
    format_speedup,
    one_line,
    text_table,
    workload_rows,
)
from populations.outcome import Speedup
from tests.evo.samples import BASELINES, passed


@pytest.mark.parametrize(
    ("value_ms", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (0.00154, "0.00154"),
        (0.03661, "0.0366"),
        (0.1364, "0.136"),
        (0.9996, "1.00"),
        (2.414, "2.41"),
        (24.13, "24.1"),
        (999.6, "1000"),
        (1260.4, "1260"),
    ],
)
def test_milliseconds_have_three_digits(value_ms, text):
    assert format_ms(value_ms) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0531, "0.053x"), (0.94, "0.94x"), (1.42, "1.42x"), (15.83, "15.8x"), (123.4, "123x")],
)
def test_ratios(value, text):
    assert format_ratio(value) == text


def test_speedup_with_its_interval():
    assert format_speedup(Speedup(1.42, 1.38, 1.456)) == "1.42x [1.38, 1.46]"
    assert format_speedup(None) == "-"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (751, "12:31"), (3729, "1:02:09")]
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


def test_counts_agree_with_their_noun():
    assert format_count(1, "kernel") == "1 kernel"
    assert format_count(0, "kernel") == "0 kernels"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(), st.integers(min_value=2, max_value=40))
def test_one_line_is_one_printable_line_of_the_width(text, width):
    line = one_line(text, width)
    assert len(line) <= width
    assert line.isprintable()
    assert len(line.splitlines()) <= 1


def test_one_line_disarms_escape_sequences():
    assert one_line("a\x1b[31mb\r\n\tc") == "a [31mb c"
    assert one_line("a long text", 6) == "a lon…"


def test_rows_agree_with_their_own_speedup():
    champion = passed(1.5)
    measured = {
        name: dict(times, conv2d=times["conv2d"] * 1.2) for name, times in BASELINES.items()
    }
    rows = workload_rows(measured, passed(0.5), champion)
    assert [row.workload for row in rows] == list(BASELINES)
    for row in rows:
        # The baseline as measured beside the champion, not as measured before the search.
        assert row.baselines_ms["conv2d"] / row.champion_ms == pytest.approx(1.5)
        assert row.baselines_ms["eager"] == BASELINES[row.workload]["eager"]
        assert row.seed_ms / row.champion_ms == pytest.approx(3.0)
        assert row.baseline == "conv2d"


def test_rows_without_kernels_and_with_a_workload_that_was_not_timed():
    [first, *_] = workload_rows(BASELINES, None, None)
    assert (first.seed_ms, first.champion_ms, first.baseline, first.speedup) == (None,) * 4
    more = {**BASELINES, "fp16": {"eager": 1.0, "own": 2.0}}
    rows = workload_rows(more, None, passed(1.5))
    assert rows[-1].champion_ms is None
    assert baseline_names(rows) == ["eager", "compile", "max-autotune", "conv2d", "own"]


def test_closing_table_as_text():
    header, body = closing_table(workload_rows(BASELINES, passed(0.5), passed(1.5)))
    lines = text_table(header, body).split("\n")
    assert lines[0].split() == [
        *("workload", "(ms)", "seed", "eager", "compile", "max-autotune", "conv2d", "champion"),
        "speedup",
    ]
    expected = "fp32_B8 1.97 1.62 1.31 1.20 0.987 0.658 1.50x [1.46, 1.54]"
    assert lines[2].split() == expected.split()
    assert len({len(line) for line in lines}) == 1
