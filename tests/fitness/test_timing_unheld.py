"""Batches that nobody holds the device back for: what they say of a claim, and of whom."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness import statistics, timing
from fitness.clocks import Bare, Between
from tests.fitness.fake_subjects import Clock, Fake, measure, spec


def on_cuda(*subjects, clock):
    return measure(*subjects, clock=clock, device="cuda")


class Unheld(Fake):
    """Skips the hold that it was given and computes in that time: its clock agrees with ours."""

    def batch(self, calls, settle_ms, *, look=False):
        times = super().batch(calls, settle_ms, look=look)
        self.set_aside_ms = calls * (self.true_ms - self.reported_ms)
        return times


@pytest.mark.parametrize("reported_ms", [0.1, 0.5, 0.6])
def test_time_taken_from_a_hold_is_found_where_nobody_holds(reported_ms):
    clock = Clock()
    thief = Unheld("candidate", clock, 1.0, reported_ms=reported_ms)
    rounds = on_cuda(thief, Fake("eager", clock, 1.0), clock=clock)
    assert rounds.median_ms("candidate") == pytest.approx(1.0, rel=0.01)
    assert math.exp(statistics.median(rounds.log_ratios("eager"))) == pytest.approx(1.0, rel=0.01)
    assert rounds.facts()["unheld_ms"]["candidate"] == pytest.approx(1.0, rel=0.01)


def test_less_than_some_launches_take_is_told():
    clock = Clock()
    thief = Unheld("candidate", clock, 1.0, reported_ms=0.8)
    rounds = on_cuda(thief, Fake("eager", clock, 1.0), clock=clock)
    assert rounds.facts()["unheld_ms"]["candidate"] == pytest.approx(1.0, rel=0.01)


def test_a_kernel_of_many_launches_is_no_cheat_and_is_taken_with_them():
    clock = Clock()
    ours, theirs = Fake("candidate", clock, 0.1), Fake("eager", clock, 0.4)
    # Thirty launches; the other side has four, which the device hides.
    ours.bare_ms, theirs.bare_ms = 1.0, 0.4
    rounds = on_cuda(ours, theirs, clock=clock)
    assert rounds.speedup("eager").value == pytest.approx(0.4, rel=0.02)
    assert rounds.unheld_ms == pytest.approx({"candidate": 1.0, "eager": 0.4}, rel=0.02)
    # Two processes need not launch equally quickly.
    assert rounds.speedup("eager").high > 1.2 * rounds.speedup("eager").value


def test_a_kernel_of_some_launches_is_taken_by_its_device_time_and_theirs_is_told():
    clock = Clock()
    ours, theirs = Fake("candidate", clock, 0.1), Fake("eager", clock, 0.4)
    ours.bare_ms, theirs.bare_ms = 0.25, 0.4
    rounds = on_cuda(ours, theirs, clock=clock)
    assert rounds.speedup("eager").value == pytest.approx(4.0, rel=0.02)
    facts = rounds.facts()
    assert facts["unheld_ms"] == pytest.approx({"candidate": 0.25, "eager": 0.4}, rel=0.02)
    assert not facts["counts_unheld"]


def test_both_sides_are_taken_with_their_launches():
    clock = Clock()
    ours, theirs = Fake("candidate", clock, 0.1), Fake("compile", clock, 0.2)
    ours.bare_ms, theirs.bare_ms = 0.6, 0.9
    rounds = on_cuda(ours, theirs, clock=clock)
    assert rounds.speedup("compile").value == pytest.approx(0.9 / 0.6, rel=0.02)


@pytest.mark.parametrize(("true_ms", "bare_ms"), [(0.01, 0.02), (0.2, 0.1), (5.0, 5.2)])
def test_what_few_launches_explain_stays_as_it_was_measured(true_ms, bare_ms):
    clock = Clock()
    ours, theirs = Fake("candidate", clock, true_ms), Fake("eager", clock, 2 * true_ms)
    ours.bare_ms = bare_ms
    rounds = on_cuda(ours, theirs, clock=clock)
    assert rounds.median_ms("candidate") == pytest.approx(true_ms)
    assert "unheld_ms" not in rounds.facts()
    # Once is enough, and the baseline need not show what nobody compares.
    assert [empty for _, empty in ours.bared] == [False]
    assert all(empty for _, empty in theirs.bared)


def test_a_neighbour_in_one_batch_changes_nothing():
    clock, late = Clock(), iter([9.0])
    ours, theirs = Fake("candidate", clock, 0.3), Fake("eager", clock, 0.4)
    bare = ours.bare

    def disturbed(calls):
        found = bare(calls)
        return Bare(calls, found.wall_ms + next(late, 0.0) * calls, found.launch_ms)

    ours.bare = disturbed
    assert not on_cuda(ours, theirs, clock=clock).unheld_ms
    assert len(ours.bared) == 2


def test_every_kernel_on_a_device_shows_what_it_takes_without_a_hold():
    for seed in range(10):
        clock = Clock()
        pair = [Fake("candidate", clock, 1.0), Fake("eager", clock, 1.0)]
        settings = spec(device="cuda")
        timing.measure(
            timing.probed(pair, settings, clock), settings, random.Random(seed), clock=clock
        )
        assert pair[0].looked == len(pair[0].bared) == 1


def test_what_lies_between_calls_is_taken_from_our_own_process():
    clock = Clock()
    thief = Unheld("candidate", clock, 1.0, reported_ms=0.3)
    control = Unheld("control", clock, 1.0, reported_ms=0.3)
    # What it would like to be taken off.
    control.bare = lambda calls, **_: Bare(calls, calls * 1.0, calls * 1.0)
    rounds = on_cuda(thief, control, Fake("eager", clock, 1.0), clock=clock)
    assert rounds.median_ms("candidate") == pytest.approx(1.0, rel=0.01)


@given(
    st.floats(1e-3, 10),
    st.floats(0, 1),
    st.lists(st.floats(0.1, 50), min_size=1, max_size=3),
)
def test_what_lies_between_calls_is_the_least_that_was_seen(launch_ms, share, walls_ms):
    empty = [Bare(10, wall_ms, launch_ms) for wall_ms in walls_ms]
    between = Between.quickest(empty)
    assert between.takes_ms(Bare(10, min(walls_ms), launch_ms)) == 0.0
    assert between.explains(share * launch_ms / 10, 0.0)
    assert not between.explains(1.1 * (launch_ms / 10 + 0.03) + 0.01, 0.0)
