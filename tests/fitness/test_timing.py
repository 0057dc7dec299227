"""Timing against subjects whose true speed is known, on a clock that the test moves."""

import itertools
import math
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness import statistics, timing
from fitness.clocks import ClockError, waited_ms
from populations.outcome import Speedup
from tests.fitness.fake_subjects import Clock, Fake, measure, spec


@pytest.mark.parametrize("true_ms", [0.003, 0.2, 5.0])
def test_finds_the_ratio_through_noise(true_ms):
    clock, rng = Clock(), random.Random(7)

    def jitter():
        return rng.lognormvariate(0, 0.02) * (1 if rng.random() < 0.9 else 4)

    ours = Fake("candidate", clock, true_ms, jitter=jitter)
    theirs = Fake("eager", clock, true_ms * 1.5, jitter=jitter)
    rounds = measure(ours, theirs, clock=clock)
    speedup = statistics.speedup(rounds.log_ratios("eager"))
    assert speedup.low < 1.5 < speedup.high
    assert speedup.high / speedup.low < 1.1
    assert rounds.median_ms("candidate") == pytest.approx(true_ms, rel=0.03)


def test_drift_of_the_machine_cancels():
    clock = Clock()

    def slower():
        return 1 + clock.now_s * 3

    rounds = measure(
        Fake("candidate", clock, 1.0, jitter=slower),
        Fake("eager", clock, 2.0, jitter=slower),
        clock=clock,
    )
    assert math.exp(statistics.median(rounds.log_ratios("eager"))) == pytest.approx(2.0, rel=0.05)


def test_a_steady_pair_needs_no_more_than_the_pairs_asked_for():
    clock = Clock()
    rounds = measure(Fake("candidate", clock, 0.1), Fake("eager", clock, 0.1), clock=clock)
    assert len(rounds.disturbed) == 30


def test_hopeless_candidates_are_given_up_early():
    clock = Clock()
    slow = Fake("candidate", clock, 5.0)
    rounds = measure(slow, Fake("eager", clock, 1.0), clock=clock, give_up_below=0.3)
    assert rounds.gave_up
    assert len(rounds.disturbed) == timing.FEWEST_ROUNDS
    assert rounds.facts()["gave_up"] is True


@pytest.mark.parametrize(
    ("speedup", "ended"), [(1.5, True), (1.79, True), (1.85, False), (2.5, False)]
)
def test_a_trial_that_is_slower_than_it_has_to_be_ends_early(speedup, ended):
    clock, rng = Clock(), random.Random(4)
    ours = Fake("candidate", clock, 1.0, jitter=lambda: rng.lognormvariate(0, 0.002))
    theirs = Fake("eager", clock, speedup)
    rounds = measure(ours, theirs, clock=clock, hopeless=1.8)
    assert rounds.gave_up is ended
    assert (len(rounds.disturbed) < 30) is ended
    assert rounds.speedup("eager").low < speedup < rounds.speedup("eager").high
    # Who claims so much is audited, given up or not.
    assert ours.looked == 1


def test_a_noisy_trial_is_timed_until_it_is_known_to_be_slower():
    clock, rng = Clock(), random.Random(4)
    ours = Fake("candidate", clock, 1.0, jitter=lambda: rng.lognormvariate(0, 0.1))
    rounds = measure(ours, Fake("eager", clock, 1.7), clock=clock, hopeless=1.8)
    assert len(rounds.disturbed) > timing.FEWEST_ROUNDS


def test_slow_pairs_end_with_the_budget_but_not_before_five():
    clock = Clock()
    pair = Fake("candidate", clock, 400.0), Fake("eager", clock, 400.0)
    assert len(measure(*pair, clock=clock).disturbed) == timing.FEWEST_ROUNDS


def test_short_calls_are_batched_and_cheap():
    clock = Clock()
    tiny = Fake("candidate", clock, 0.002)
    measure(tiny, Fake("eager", clock, 0.002), clock=clock)
    assert tiny.batches[-1] * 0.002 >= 0.025 * 0.75
    assert tiny.calls * 0.002 < 5.0


def test_a_hold_shorter_than_asked_for_is_nobodys_doing():
    clock = Clock()
    ours = Fake("candidate", clock, 1.0)
    ours.set_aside_ms = 50.0
    rounds = measure(ours, Fake("eager", clock, 1.0), clock=clock)
    assert rounds.median_ms("candidate") == pytest.approx(1.0)


def two_processors(monkeypatch):
    monkeypatch.setattr(timing.os, "sched_getaffinity", lambda _: {3, 5})


def test_both_sides_of_a_round_run_on_one_processor(monkeypatch):
    two_processors(monkeypatch)
    clock = Clock()
    # One processor is half as fast as the other, all the while.
    ours, theirs = (Fake(name, clock, 1.0) for name in ("candidate", "eager"))
    for one in (ours, theirs):
        one.jitter = lambda one=one: 2.0 if one.at == 5 else 1.0
    rounds = measure(ours, theirs, clock=clock)
    assert rounds.log_ratios("eager") == pytest.approx([0.0] * 30)
    timed = [place for place in ours.places if place != -1]
    assert timed == [place for place in theirs.places if place != -1]
    assert set(timed) == {3, 5}
    assert ours.at == theirs.at == -1


def test_a_round_after_a_disturbed_one_runs_elsewhere(monkeypatch):
    two_processors(monkeypatch)
    clock = Clock()
    ours, theirs = (Fake(name, clock, 1.0) for name in ("candidate", "eager"))
    ours.waits = lambda: 100.0 if ours.at == 5 else 0.0
    measure(ours, theirs, clock=clock)
    timed = [place for place in ours.places if place != -1]
    assert 5 in timed
    assert (5, 5) not in itertools.pairwise(timed)


@pytest.mark.parametrize(
    ("changes", "places"), [({"threads": 2}, {7, -1}), ({"device": "cuda"}, {-1})]
)
def test_whoever_needs_more_than_one_processor_begins_where_it_is_asked(
    monkeypatch, changes, places
):
    two_processors(monkeypatch)
    monkeypatch.setattr(timing.linux, "current_processor", lambda: 7)
    clock = Clock()
    ours, theirs = (Fake(name, clock, 1.0) for name in ("candidate", "eager"))
    measure(ours, theirs, clock=clock, **changes)
    assert set(ours.places) == set(theirs.places) == places


def test_disturbed_rounds_are_repeated_and_dropped():
    clock, rng = Clock(), random.Random(3)
    state = {"disturbed": False}

    def jitter():
        state["disturbed"] = rng.random() < 0.4
        return 8.0 if state["disturbed"] else 1.0

    ours = Fake("candidate", clock, 1.0, jitter=jitter, waits=lambda: 9.0 * state["disturbed"])
    rounds = measure(ours, Fake("eager", clock, 1.0), clock=clock)
    assert sum(rounds.disturbed) > 5
    assert len(rounds.kept()) >= 30
    assert set(rounds.log_ratios("eager")) == {0.0}


def test_when_every_round_is_disturbed_all_count():
    clock = Clock()
    ours = Fake("candidate", clock, 1.0, waits=lambda: 1.0)
    rounds = measure(ours, Fake("eager", clock, 1.0), clock=clock)
    assert all(rounds.disturbed)
    assert len(rounds.kept()) == len(rounds.disturbed) >= 30


def test_a_neighbour_in_the_way_of_two_probes_does_not_shorten_batches():
    clock, held_up = Clock(), itertools.chain([11.0, 8.0], itertools.repeat(1.0))
    ours = Fake("candidate", clock, 1.5, jitter=lambda: next(held_up))
    (probed,) = timing.probed([ours], spec(), clock)
    assert probed.calls == 4


def test_alike_subjects_have_batches_of_one_size():
    clock = Clock()
    subjects = [Fake(n, clock, t) for n, t in (("candidate", 0.1), ("eager", 0.15), ("far", 1.0))]
    rounds = measure(*subjects, clock=clock)
    assert rounds.calls["candidate"] == rounds.calls["eager"] > 10
    assert rounds.calls["far"] == 4


@pytest.mark.parametrize("reported_ms", [0.3, 3.0])
def test_a_clock_that_lies_is_noticed(reported_ms):
    clock = Clock()
    liar = Fake("candidate", clock, 1.0, reported_ms=reported_ms)
    with pytest.raises(ClockError, match="candidate"):
        measure(liar, Fake("eager", clock, 1.0), clock=clock)


def test_a_short_batch_hides_nothing_from_a_long_one():
    clock = Clock()
    liar = Fake("candidate", clock, 0.015, reported_ms=0.001)
    with pytest.raises(ClockError, match="for a batch that took"):
        measure(liar, Fake("eager", clock, 0.015), clock=clock)


def test_a_neighbour_in_the_baselines_long_batch_excuses_nobody():
    clock = Clock()
    liar = Fake("candidate", clock, 0.015, reported_ms=0.001)
    theirs = Fake("eager", clock, 0.015)
    batch = theirs.batch

    neighbours = itertools.cycle([0.1, 0.1, 0.0])

    def held_up(calls, settle_ms, *, look=False):
        clock.now_s += next(neighbours) if look else 0.0
        return batch(calls, settle_ms, look=look)

    theirs.batch = held_up
    with pytest.raises(ClockError, match="for a batch that took"):
        measure(liar, theirs, clock=clock)


def renewing(subject, renewal_ms):
    """Let each call of a subject be preceded by a renewal of its inputs."""
    batch = subject.batch

    def slower(calls, settle_ms, *, look=False):
        subject.clock.now_s += calls * renewal_ms / 1e3
        return batch(calls, settle_ms, look=look)

    subject.batch = slower
    return subject


@pytest.mark.parametrize(("known_ms", "asked"), [(0.004, 0), (0.0, 3), (0.0005, 3)])
def test_what_is_known_of_a_baseline_saves_its_long_batches(known_ms, asked):
    clock = Clock()
    ours = renewing(Fake("candidate", clock, 0.002), 0.004)
    theirs = renewing(Fake("eager", clock, 0.006), 0.004)
    probed = timing.probed([ours, theirs], spec(), clock)
    probed[1].renewal_ms = known_ms
    timing.measure(probed, spec(), random.Random(1), clock=clock)
    # Who claims so much is looked at in one long batch, in any case.
    assert (ours.looked, theirs.looked) == (1, asked)
    assert probed[1].renewal_ms == pytest.approx(0.004, rel=0.05)


def test_what_is_known_of_a_baseline_excuses_no_liar():
    clock = Clock()
    liar = renewing(Fake("candidate", clock, 0.015, reported_ms=0.001), 0.004)
    theirs = renewing(Fake("eager", clock, 0.015), 0.004)
    probed = timing.probed([liar, theirs], spec(), clock)
    probed[1].renewal_ms = 0.004
    with pytest.raises(ClockError, match="for a batch that took"):
        timing.measure(probed, spec(), random.Random(1), clock=clock)


def test_an_audit_beside_a_process_of_its_own_hides_nothing():
    clock = Clock()
    liar = Fake("candidate", clock, 0.015, reported_ms=0.001)
    control = Fake("control", clock, 0.015, reported_ms=0.001)
    with pytest.raises(ClockError, match="for a batch that took"):
        measure(liar, control, Fake("eager", clock, 0.015), clock=clock)


def test_more_processors_than_allowed_are_noticed():
    clock = Clock()
    ours = Fake("candidate", clock, 0.1)
    ours.ran_s = lambda: 2 * clock()
    with pytest.raises(ClockError, match="on more than 1 processors"):
        measure(ours, Fake("eager", clock, 0.2), clock=clock)


def test_the_last_batch_is_always_looked_at():
    for seed in range(30):
        clock = Clock()
        ours = Fake("candidate", clock, 1.0)
        probed = timing.probed([ours, Fake("eager", clock, 1.0)], spec(), clock)
        timing.measure(probed, spec(), random.Random(seed), clock=clock)
        assert ours.looked == 1


def test_whoever_waits_for_a_processor_does_not_lie():
    clock = Clock()
    kept_waiting = Fake("candidate", clock, 2.0, reported_ms=1.0)
    kept_waiting.ran_s = lambda: kept_waiting.calls * 1e-3
    rounds = measure(kept_waiting, Fake("eager", clock, 1.0), clock=clock)
    assert rounds.median_ms("candidate") == pytest.approx(1.0)


@pytest.mark.parametrize("reported", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_times_are_refused(reported):
    clock = Clock()
    fake = Fake("candidate", clock, 1.0)
    fake.reported_ms = reported
    with pytest.raises(ClockError):
        measure(fake, Fake("eager", clock, 1.0), clock=clock)


def test_an_answer_without_times_is_refused():
    clock = Clock()
    fake = Fake("candidate", clock, 1.0)
    fake.batch = lambda *_, **__: []
    with pytest.raises(ClockError):
        measure(fake, Fake("eager", clock, 1.0), clock=clock)


def test_waiting_for_a_processor_is_read_from_the_kernel():
    assert waited_ms(1 << 22) == 0.0
    if Path("/proc/self/schedstat").exists():
        assert waited_ms(os.getpid()) > 0


@given(st.integers(6, 400))
def test_interval_covers_95_percent(count):
    lower, upper = statistics.interval_ranks(count)

    def missed(rank):
        return 2 * sum(math.comb(count, i) for i in range(rank + 1)) / 2**count

    assert upper == count - 1 - lower
    assert missed(lower) <= 0.05 < missed(lower + 1)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=60))
def test_speedups_are_well_formed(log_ratios):
    found = statistics.speedup(log_ratios)
    assert found.low <= found.value <= found.high
    mean = statistics.geometric_mean([found, found])
    assert mean.value == pytest.approx(found.value)
    assert mean.high / mean.low <= found.high / found.low * (1 + 1e-9)


def test_geometric_mean_over_workloads():
    mean = statistics.geometric_mean([Speedup(2.0, 1.5, 3.0), Speedup(0.5, 0.5, 0.5)])
    assert mean.value == pytest.approx(1.0)
    assert mean.low == pytest.approx(math.sqrt(1.5 / 2.0))
    assert mean.high == pytest.approx(math.sqrt(3.0 / 2.0))
