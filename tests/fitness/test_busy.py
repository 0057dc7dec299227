"""How busy a device was, told by a driver of the test's own: what follows for whom."""

import random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitness import busy
from fitness.busy import Meter, Stretch
from fitness.clocks import Bare

SECOND = 1_700_000_000.0


class Device:
    """A device, a driver that samples it in whole percents, and calls that take what they take."""

    def __init__(self, call_ms, *, host_ms=0.15, between_ms=0.01, neighbour=lambda _: 0.0):
        self.now_s = SECOND
        self.call_ms, self.host_ms, self.between_ms = call_ms, host_ms, between_ms
        self.neighbour = neighbour
        self.told = [(SECOND, 0.0)]
        self.period_s = 0.2
        self.looked, self.calls = [], 0
        self._busy_s = 0.0

    def bare(self, calls, *, empty=False, look=True):
        call_ms = 0.0 if empty else self.call_ms
        self.calls += calls
        if look:
            self.looked.append(self.calls)
        wall_ms = calls * (self.host_ms + self.between_ms + call_ms)
        self.spend(wall_ms / 1e3, calls * (self.between_ms + call_ms) / 1e3)
        return Bare(calls, wall_ms, 0.0)

    def spend(self, wall_s, busy_s=0.0):
        self.now_s += wall_s
        self._busy_s += busy_s
        while self.now_s >= self.told[-1][0] + self.period_s:
            share = min(self._busy_s / self.period_s + self.neighbour(len(self.told)), 1.0)
            self.told.append((self.told[-1][0] + self.period_s, round(100 * share) / 100))
            self._busy_s = 0.0

    def meter(self):
        return Meter(lambda: self.told, clock=lambda: self.now_s, sleep=self.spend)

    def stretch(self, claimed_ms=0.0, **options):
        return busy.stretch(self, self.meter(), random.Random(1), claimed_ms=claimed_ms, **options)


def seen(call_ms, claimed_ms, **options):
    """What is made of a kernel: its stretch, the one without it, and the accusation or ""."""
    found = Device(call_ms, **options).stretch(claimed_ms)
    empty = Device(call_ms, **options).stretch(empty=True)
    return found, empty, busy.fault("the kernel", claimed_ms, found, empty)


@pytest.mark.parametrize("call_ms", [0.004, 0.025, 0.1, 1.0])
def test_a_call_is_told_as_long_as_it_keeps_the_device_busy(call_ms):
    found, empty, fault = seen(call_ms, call_ms)
    assert fault == ""
    if call_ms < 1:
        error_ms = 0.02 * found.call_ms + 0.07 * call_ms
        assert found.device_ms(empty.share) == pytest.approx(call_ms, abs=error_ms)
        assert busy.facts(found, empty)["concluded"]


@pytest.mark.parametrize(("call_ms", "claimed_ms"), [(0.204, 0.004), (0.06, 0.004), (0.2, 0.1)])
def test_who_computes_for_longer_than_he_says_is_told(call_ms, claimed_ms):
    found, empty, fault = seen(call_ms, claimed_ms)
    assert f"reports {claimed_ms:.3f} ms a call" in fault
    assert found.device_ms(empty.share) == pytest.approx(call_ms, rel=0.1)
    # Without it, a suspicion.
    assert busy.fault("the kernel", claimed_ms, found)


@given(
    call_ms=st.floats(0.002, 0.6),
    host_ms=st.floats(0.08, 0.6),
    between_ms=st.floats(0, 0.3),
    others=st.floats(0, 0.3),
)
@settings(max_examples=10, deadline=None)
def test_nobody_is_accused_of_launching_or_of_what_others_do(call_ms, host_ms, between_ms, others):
    options = {"host_ms": host_ms, "between_ms": between_ms, "neighbour": lambda _: others}
    assert seen(call_ms, call_ms, **options)[2] == ""


@given(call_ms=st.floats(0.06, 0.3), host_ms=st.floats(0.08, 0.2))
@settings(max_examples=5, deadline=None)
def test_a_neighbour_in_fewer_than_half_of_the_samples_changes_nothing(call_ms, host_ms):
    def neighbour(window):
        return 0.9 if window % 3 == 0 else 0.0

    options = {"host_ms": host_ms, "neighbour": neighbour}
    assert seen(call_ms, call_ms, **options)[2] == ""
    assert seen(call_ms, call_ms / 5, **options)[2]


def test_where_the_clock_alone_is_enough_there_are_few_calls():
    device = Device(1.0)
    found = device.stretch(1.0)
    assert found.by_clock
    assert device.calls == 20
    assert busy.facts(found) == {"call_ms": pytest.approx(1.16, rel=1e-3), "concluded": True}
    assert busy.fault("the kernel", 1.0, found) == ""
    # A kernel of a second is not called twenty times for it.
    assert (slow := Device(1000.0)).stretch(1000.0).by_clock
    assert slow.calls == 5


def test_who_resists_the_first_calls_is_watched_all_the_same():
    device = Device(0.2)
    assert not device.stretch(0.04).by_clock
    assert device.now_s - SECOND > busy.STRETCH_S


def test_calls_at_moments_of_our_own_are_looked_at():
    looked = []
    for seed in range(5):
        device = Device(0.1)
        busy.stretch(device, device.meter(), random.Random(seed), claimed_ms=0.1)
        assert busy.TRIES * len(device.looked) == busy.LOOKS
        looked.append(tuple(device.looked))
        # Some of the very first, the others anywhere.
        assert device.looked[1] <= 24 < device.looked[2]
        assert device.looked[-1] - device.looked[2] > 100
    assert len(set(looked)) == 5
    # Without calls there is nothing to look at.
    device.looked.clear()
    device.stretch(empty=True)
    assert device.looked == []


def test_samples_that_come_late_are_waited_for_but_not_for_ever():
    device = Device(0.1)
    asked = []

    def samples():
        asked.append(device.now_s)
        return [s for s in device.told if s[0] < device.now_s - 0.5]

    meter = Meter(samples, clock=lambda: device.now_s, sleep=device.spend)
    device.spend(2.0)
    assert len(meter.within(SECOND, SECOND + 2.0)) >= 7
    assert 0.2 < asked[-1] - asked[0] < 0.6
    asked.clear()
    silent = Meter(list, clock=lambda: device.now_s, sleep=device.spend)
    before = device.now_s
    assert silent.within(SECOND, SECOND + 2.0) == []
    assert 1.4 < device.now_s - before < 1.6


@pytest.mark.parametrize("period_s", [0.6, 1.5])
def test_too_few_or_too_long_windows_say_nothing(period_s):
    device = Device(0.2)
    device.period_s = period_s
    found = device.stretch(0.04)
    assert found.shares == ()
    assert busy.fault("the kernel", 0.04, found) == ""
    told = busy.facts(found)
    assert not told["concluded"]
    assert "too few samples" in told["reason"]


def test_nothing_follows_where_the_calls_alone_were_seen():
    found, silent = Stretch(0.2, (0.5,) * 8, (0.2,) * 8), Stretch(0.1)
    assert busy.fault("the kernel", 0.01, found)
    assert busy.fault("the kernel", 0.01, found, silent) == ""
    assert not busy.facts(found, silent)["concluded"]


@pytest.mark.parametrize("library", [None, SimpleNamespace(utilisation=list)])
def test_a_device_that_tells_nothing_has_no_meter(monkeypatch, library):
    monkeypatch.setattr(busy, "nvml", lambda _: library)
    assert Meter.of("cuda:0") is None
    assert Meter.of("cpu") is None
