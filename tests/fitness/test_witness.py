"""The device's own word on a verification: when it is asked, of whom, and what is made of it."""

from contextlib import contextmanager, nullcontext
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from fitness import busy, witness
from fitness.process import Fault
from fitness.spec import EvaluationSpec
from fitness.telemetry import Record
from fitness.witness import Witness
from populations.outcome import Outcome
from tests.fitness.test_busy import Device

SPEC = EvaluationSpec(problem=Path("p"), cache_dir=Path("c"), device="cuda")


def seeing(monkeypatch, device, claimed_ms, *, mhz=1980.0, mhz_now=1980.0):
    """A witness that has seen a candidate on this device, on one workload."""
    meter = device and device.meter()
    monkeypatch.setattr(busy.Meter, "of", classmethod(lambda *_: meter))
    monkeypatch.setattr(witness, "watched", lambda _: nullcontext(record(mhz_now)))
    found = Witness(SPEC, Random(1))
    rounds = SimpleNamespace(
        names=("candidate", "control", "eager"), median_ms=lambda _: claimed_ms
    )
    found.see("w", device, rounds, record(mhz))
    return found


def record(mhz):
    return Record(samples=[{"sm_mhz": mhz}, {"power_w": 1.0}] if mhz else [])


def asking(device, asked):
    @contextmanager
    def trusted(workload, baseline):
        asked.append((workload, baseline))
        yield device

    return trusted


def test_a_thief_is_told_once_his_processes_are_gone(monkeypatch):
    device, asked = Device(0.2), []
    found = seeing(monkeypatch, device, 0.01)
    assert found.facts["w"]["busy_ms"] == pytest.approx(0.21, rel=0.05)
    with pytest.raises(Fault, match=r"'w': the kernel reports 0\.010 ms a call") as fault:
        found.conclude(asking(device, asked))
    assert asked == [("w", "eager")]
    assert fault.value.outcome is Outcome.CHEATED
    assert fault.value.details["busy"]["w"]["device_ms"] == pytest.approx(0.2, rel=0.1)


def test_whoever_keeps_the_device_busy_while_he_lives_is_not_given_that_off(monkeypatch):
    # Idle or not, the device is never at rest in his time.
    device, asked = Device(0.1, neighbour=lambda _: 0.5), []
    found = seeing(monkeypatch, device, 0.01)
    device.neighbour = lambda _: 0.0
    with pytest.raises(Fault):
        found.conclude(asking(device, asked))


def test_what_others_and_the_judge_itself_do_is_taken_off(monkeypatch):
    device, asked = Device(0.02, between_ms=0.2), []
    found = seeing(monkeypatch, device, 0.02)
    assert found.facts["w"]["concluded"]
    found.conclude(asking(device, asked))
    assert asked == [("w", "eager")]
    assert found.facts["w"]["device_ms"] < 0.03


def test_a_neighbour_for_a_second_makes_no_cheat(monkeypatch):
    device = Device(0.05, neighbour=lambda window: 0.9 * (window <= 10))
    found = seeing(monkeypatch, device, 0.05)
    found.conclude(asking(device, []))
    assert found.facts["w"]["busy_ms"] < 0.1


def test_where_there_is_no_suspicion_nobody_is_asked(monkeypatch):
    asked = []
    found = seeing(monkeypatch, Device(0.1, between_ms=0.002), 0.1)
    found.conclude(asking(None, asked))
    assert not asked
    assert found.facts["w"]["concluded"]


@pytest.mark.parametrize(("mhz", "mhz_now", "accused"), [(1980, 400, False), (1980, 1980, True)])
def test_a_clock_that_fell_makes_no_cheat(monkeypatch, mhz, mhz_now, accused):
    device = Device(0.2)
    found = seeing(monkeypatch, device, 0.05, mhz=float(mhz), mhz_now=float(mhz_now))
    with pytest.raises(Fault) if accused else nullcontext():
        found.conclude(asking(device, []))


@pytest.mark.parametrize(("mhz", "mhz_now"), [(0, 1980), (1980, 0), (400, 1980)])
def test_a_clock_that_is_not_told_or_rose_excuses_nobody(monkeypatch, mhz, mhz_now):
    device = Device(0.2)
    found = seeing(monkeypatch, device, 0.05, mhz=float(mhz), mhz_now=float(mhz_now))
    with pytest.raises(Fault):
        found.conclude(asking(device, []))


def test_a_driver_that_tells_nothing_is_told(monkeypatch):
    found = seeing(monkeypatch, None, 0.01)
    assert found.facts["w"] == {"concluded": False, "reason": witness.UNTOLD}
    found.conclude(asking(None, []))
