"""Timing against subjects whose true speed is known, on a clock that the test moves."""

import fcntl
import itertools
import math
import os
import random
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness import statistics, timing
from fitness.clocks import Bare, Between, ClockError, waited_ms
from fitness.lease import DeviceLease
from fitness.pace import Answer, Pacemaker, Request, Silence, Way, follow
from fitness.spec import EvaluationSpec
from populations.outcome import Speedup


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


class Fake:
    """Takes `true_ms` per call and reports `reported_ms`; waits as the test says."""

    def __init__(self, name, clock, true_ms, *, reported_ms=None, waits=lambda: 0.0, jitter=None):
        self.name = name
        self.clock = clock
        self.true_ms = true_ms
        self.reported_ms = reported_ms or true_ms
        self.waits = waits
        self.jitter = jitter or (lambda: 1.0)
        self.waited = 0.0
        self.set_aside_ms = 0.0
        self.bare_ms = None
        self.bared = []
        self.looked = 0
        # It runs whenever it is asked, unless the test says how long.
        self.ran_s = clock
        self.calls = 0
        self.batches = []
        self.at = -1
        self.places = []

    def move(self, processor):
        self.at = processor

    def batch(self, calls, settle_ms, *, look=False):
        self.looked += look
        if calls:
            self.places.append(self.at)
        factor = self.jitter()
        settling = max(1, math.ceil(settle_ms / self.true_ms)) if settle_ms else 0
        self.clock.now_s += (settling + calls) * self.true_ms * factor / 1e3 + 50e-6
        self.calls += settling + calls
        self.batches.append(calls)
        if calls:
            self.waited += self.waits()
        return [self.reported_ms * factor] * calls

    def bare(self, calls, *, empty=False):
        # As the renewal of inputs: 0.02 ms by the host, less by the device.
        call_ms = 0.0 if empty else self.bare_ms or self.true_ms
        wall_ms = calls * (call_ms + 0.02) * self.jitter() + 0.1
        self.clock.now_s += wall_ms / 1e3
        self.bared.append((calls, empty))
        self.looked += not empty
        return Bare(calls, wall_ms, calls * 0.02)

    def waited_ms(self):
        return self.waited

    def ran_ms(self):
        return self.ran_s() * 1e3


def spec(**changes):
    settings = {"pairs": 30, "timing_budget_s": 2.0, "min_effect": 0.01}
    return EvaluationSpec(problem=Path("p"), cache_dir=Path("c"), **{**settings, **changes})


def measure(*subjects, clock, hopeless=0.0, **changes):
    settings = spec(**changes)
    probed = timing.probed(subjects, settings, clock)
    rng = random.Random(1)
    return timing.measure(probed, settings, rng, hopeless=hopeless, clock=clock)


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


@pytest.mark.parametrize("changes", [{"threads": 2}, {"device": "cuda"}])
def test_whoever_needs_more_than_one_processor_runs_anywhere(monkeypatch, changes):
    two_processors(monkeypatch)
    clock = Clock()
    ours, theirs = (Fake(name, clock, 1.0) for name in ("candidate", "eager"))
    measure(ours, theirs, clock=clock, **changes)
    assert set(ours.places) == set(theirs.places) == {-1}


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


def test_an_audit_beside_a_process_of_its_own_hides_nothing():
    clock = Clock()
    liar = Fake("candidate", clock, 0.015, reported_ms=0.001)
    control = Fake("control", clock, 0.015, reported_ms=0.001)
    with pytest.raises(ClockError, match="for a batch that took"):
        measure(liar, control, Fake("eager", clock, 0.015), clock=clock)


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


def test_pace_carries_batches_until_it_is_ended():
    pacemaker = Pacemaker()
    seen = []

    def batch(request):
        seen.append(request)
        return Answer([0.25] * request.calls, launch_ms=1.5, late=True, samples=(7.0, math.inf))

    follower = threading.Thread(target=follow, args=(pacemaker.theirs.detach(), batch), daemon=True)
    follower.start()
    request = Request(3, 2, 9, 0.5, 0.1, secret=2**64 - 1, sample=6, way=Way.BARE)
    answer = pacemaker.batch(request, 10.0)
    assert answer == Answer([0.25, 0.25], 1.5, True, (7.0, math.inf))
    assert seen == [request]
    pacemaker.close()
    follower.join(10)
    assert not follower.is_alive()


def test_pace_brings_the_thread_to_a_processor_and_does_not_keep_it_there(monkeypatch):
    every = os.sched_getaffinity(0)
    pacemaker, moves, kept, real = Pacemaker(), [], [], os.sched_setaffinity

    def noted(who, processors):
        moves.append(set(processors))
        real(who, processors)

    def batch(request):
        kept.append(os.sched_getaffinity(0))
        return Answer([1.0])

    monkeypatch.setattr(os, "sched_setaffinity", noted)
    follower = threading.Thread(target=follow, args=(pacemaker.theirs.detach(), batch), daemon=True)
    follower.start()
    there, nowhere = max(every), max(every) + 1000
    for processor in (-1, there, nowhere):
        pacemaker.batch(Request(0, 1, processor=processor), 5.0)
    pacemaker.close()
    follower.join(10)
    assert moves == [{there}, every]
    assert kept == [every] * 3


def test_pace_believes_nothing_that_does_not_fit():
    pacemaker = Pacemaker()
    pacemaker.theirs.send(b"\0" * 27)
    with pytest.raises(Silence):
        pacemaker.batch(Request(0, 1), 1.0)
    with pytest.raises(Silence):
        pacemaker.batch(Request(0, 1), 0.01)
    pacemaker.close()


def test_the_lease_is_shared_by_many_or_held_by_one(tmp_path):
    first, second = DeviceLease("cpu", tmp_path), DeviceLease("cpu", tmp_path)
    with first.shared(), second.shared():
        pass
    entered = threading.Event()

    def enter():
        with second.shared():
            entered.set()

    with first.exclusive(), DeviceLease("cuda:0", tmp_path).exclusive():
        waiting = threading.Thread(target=enter, daemon=True)
        waiting.start()
        assert not entered.wait(0.05)
    waiting.join(10)
    assert entered.is_set()
    assert first.exclusive_s >= 0.05


def test_whoever_waits_to_time_is_not_overtaken(tmp_path):
    inside, waiting, late = (DeviceLease("cpu", tmp_path) for _ in range(3))
    order = []

    def time_alone():
        with waiting.exclusive():
            order.append("exclusive")

    def check():
        with late.shared():
            order.append("shared")

    with inside.shared():
        threads = [threading.Thread(target=f, daemon=True) for f in (time_alone, check)]
        threads[0].start()
        while _free(tmp_path / "cpu.door"):
            time.sleep(0.001)
        threads[1].start()
        time.sleep(0.05)
        assert order == []
    for thread in threads:
        thread.join(10)
    assert order == ["exclusive", "shared"]


def _free(path):
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
