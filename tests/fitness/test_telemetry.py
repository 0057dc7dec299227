"""What the device was like while something was timed."""

import threading
import time

import pytest

from fitness import telemetry
from fitness.telemetry import Record, remarks, smi_sample, summary, watched


def sample(mhz, reasons=0):
    return {"sm_mhz": mhz, "temperature_c": 50.0, "reasons": reasons}


def test_throttled_samples_are_counted_with_their_reasons():
    samples = [sample(1980.0), sample(1500.0, 0x4 | 0x1), sample(1400.0, 0x20), sample(1980.0, 0x2)]
    facts = Record(samples=samples).facts()
    assert facts["sm_mhz"] == [1400.0, 1740.0, 1980.0]
    assert facts["throttled"] == 2
    assert facts["throttled_by"] == ["power cap", "software thermal slowdown"]
    (line,) = remarks(facts)
    assert line == "2 of 4 samples throttled (power cap, software thermal slowdown)"
    assert summary(facts).startswith("1740 MHz (1400-1980), 50 C")


def test_what_an_idle_or_a_set_clock_says_is_no_throttling():
    # Idle, a clock set by an application, one set for synchronisation, and one set for display.
    facts = Record(samples=[sample(1980.0, 0x1 | 0x2 | 0x10 | 0x100)]).facts()
    assert facts["throttled"] == 0
    assert remarks(facts) == []


def test_a_machine_that_tells_nothing():
    facts = Record().facts()
    assert facts == {"samples": 0}
    assert summary(facts) == "this machine tells nothing"


def test_a_line_of_nvidia_smi():
    line = "1980, 2619, 38, 121.35, 0x0000000000000004\n"
    assert smi_sample(line) == {
        "sm_mhz": 1980.0,
        "memory_mhz": 2619.0,
        "temperature_c": 38.0,
        "power_w": 121.35,
        "reasons": 4.0,
    }
    assert smi_sample("[N/A], 2619, [N/A], [N/A], [N/A]") == {"memory_mhz": 2619.0}
    assert smi_sample("") == {}


def test_others_at_work_are_told(monkeypatch):
    clock, busy = iter([100.0, 110.0]), iter([0.0, 16.0])
    monkeypatch.setattr(telemetry.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(telemetry, "busy_s", lambda: next(busy))
    monkeypatch.setattr(telemetry, "_waited_s", lambda: None)
    with watched("cpu", threads=1) as record:
        pass
    facts = record.facts()
    assert facts["others_cores"] == pytest.approx(0.6)
    assert "pressure" not in facts
    assert remarks(facts) == ["others kept 0.6 processors busy"]


def test_a_machine_with_more_work_than_processors_is_told():
    facts = Record(pressure=0.8).facts()
    assert remarks(facts) == ["something waited for a processor 80% of the time"]
    assert remarks(Record(pressure=0.2).facts()) == []


def test_the_processor_is_looked_at_before_and_after():
    with watched("cpu", threads=1) as record:
        time.sleep(0.02)
    facts = record.facts()
    assert facts["samples"] in (0, 2)
    assert facts.get("others_cores", 0.0) >= 0


class Library:
    """A device that gets hotter with every look."""

    def __init__(self):
        self.looks = 0

    def sample(self):
        self.looks += 1
        return {"temperature_c": float(self.looks)}


def test_a_device_is_looked_at_while_it_works_and_left_alone_then(monkeypatch):
    library = Library()
    monkeypatch.setattr(telemetry, "nvml", lambda _: library)
    monkeypatch.setattr(telemetry, "_PERIOD_S", 0.005)
    threads = threading.active_count()
    with watched("cuda:0") as record:
        time.sleep(0.05)
    looks = library.looks
    assert looks == len(record.samples) >= 3
    assert threading.active_count() == threads
    time.sleep(0.02)
    assert library.looks == looks


def test_without_the_library_nvidia_smi_is_asked_once(monkeypatch):
    asked = []
    monkeypatch.setattr(telemetry, "nvml", lambda _: None)
    monkeypatch.setattr(telemetry, "uuid_of", lambda _: "GPU-1")

    class Done:
        stdout = "1980, 2619, 38, 121.35, 0x0"

    monkeypatch.setattr(
        telemetry.subprocess, "run", lambda command, **_: asked.append(command) or Done
    )
    with watched("cuda:0") as record:
        assert not asked
    assert len(asked) == 1
    assert "--id=GPU-1" in asked[0]
    assert record.facts()["sm_mhz"] == [1980.0] * 3
