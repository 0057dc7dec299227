"""The state of the device while something is timed: clocks, temperature, power, throttling, load.

On CUDA the driver's management library (NVML) is asked about twenty times a second by a thread that
sleeps otherwise; where it cannot be loaded, `nvidia-smi` is asked once at the end. On the CPU the
kernel's own numbers are read before and after. Nothing here fails: what a machine does not tell is
left out.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from fitness import statistics
from fitness.nvml import Nvml, index_of, nvml, uuid_of

# Bits of nvmlClocksEventReasons that mean "slower than it could be": what the user or an idle
# device sets is none of them.
THROTTLING = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
_PERIOD_S = 0.05
_MOST_SAMPLES = 2000
_SMI_LIMIT_S = 10.0
_SMI_KEYS = "clocks.sm,clocks.mem,temperature.gpu,power.draw,clocks_throttle_reasons.active"
# Others had this much of one processor while something was timed: worth telling.
BUSY_CORES = 0.25
# So is a share of the time in which something had to wait for a processor.
BUSY_PRESSURE = 0.5


@dataclass(slots=True)
class Record:
    """What was seen from the beginning of a timing to its end.

    Attributes:
        samples: One mapping per look at the device: "sm_mhz", "memory_mhz", "temperature_c",
            "power_w", "reasons" (NVML's bits); on the CPU "mhz", of one processor only.
        others_cores: Processors that others kept busy meanwhile, on average; None where unknown.
        pressure: Share of the time in which something waited for a processor; None where unknown.
    """

    samples: list[Mapping[str, float]] = field(default_factory=list)
    others_cores: float | None = None
    pressure: float | None = None

    def facts(self) -> dict[str, Any]:
        """JSON-able: range and median of every number; how many were throttled, and by what."""
        found: dict[str, Any] = {"samples": len(self.samples)}
        names = dict.fromkeys(name for sample in self.samples for name in sample)
        for name in names:
            values = [sample[name] for sample in self.samples if name in sample]
            if name != "reasons":
                found[name] = [min(values), statistics.median(values), max(values)]
        if "reasons" in names:
            throttled = [s for s in self.samples if int(s.get("reasons", 0)) & sum(THROTTLING)]
            seen = 0
            for sample in throttled:
                seen |= int(sample["reasons"])
            found["throttled"] = len(throttled)
            found["throttled_by"] = [text for bit, text in THROTTLING.items() if seen & bit]
        for name in ("others_cores", "pressure"):
            if (value := getattr(self, name)) is not None:
                found[name] = round(value, 3)
        return found


def remarks(facts: Mapping[str, Any]) -> list[str]:
    """What a reader of `Record.facts` should be told: throttled samples, a busy machine."""
    lines = []
    if facts.get("throttled"):
        by = ", ".join(facts["throttled_by"])
        lines.append(f"{facts['throttled']} of {facts['samples']} samples throttled ({by})")
    if facts.get("others_cores", 0.0) > BUSY_CORES:
        lines.append(f"others kept {facts['others_cores']:.1f} processors busy")
    elif facts.get("pressure", 0.0) > BUSY_PRESSURE:
        lines.append(f"something waited for a processor {facts['pressure']:.0%} of the time")
    return lines


def summary(facts: Mapping[str, Any]) -> str:
    """One line of the numbers, for people."""
    parts = []
    for name, unit in (
        ("sm_mhz", " MHz"),
        ("memory_mhz", " MHz memory"),
        ("mhz", " MHz"),
        ("temperature_c", " C"),
        ("power_w", " W"),
    ):
        if name in facts:
            low, middle, high = facts[name]
            spread = f" ({low:.0f}-{high:.0f})" if round(low) != round(high) else ""
            parts.append(f"{middle:.0f}{unit}{spread}")
    return ", ".join([*parts, *remarks(facts)]) or "this machine tells nothing"


@contextmanager
def watched(device: str, threads: int = 1) -> Iterator[Record]:
    """Look at a device while something is timed; the record is whole when the context ends.

    Args:
        device: "cpu", or "cuda:0" and the like.
        threads: Processors that what is timed keeps busy itself.
    """
    record = Record()
    if device == "cpu":
        with _watched_cpu(record, threads):
            yield record
        return
    library = nvml(device)
    if library is None:
        yield record
        record.samples += _from_smi(device)
        return
    done = threading.Event()
    looker = threading.Thread(target=_look, args=(library, record, done), daemon=True)
    looker.start()
    try:
        yield record
    finally:
        done.set()
        looker.join()


def _look(library: Nvml, record: Record, done: threading.Event) -> None:
    while True:
        if len(record.samples) < _MOST_SAMPLES:
            record.samples.append(library.sample())
        if done.wait(_PERIOD_S):
            record.samples.append(library.sample())
            return


def _from_smi(device: str) -> list[Mapping[str, float]]:
    chosen = uuid_of(device) or str(index_of(device))
    command = ["nvidia-smi", f"--id={chosen}", f"--query-gpu={_SMI_KEYS}"]
    try:
        done = subprocess.run(
            [*command, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_SMI_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [sample] if (sample := smi_sample(done.stdout)) else []


def smi_sample(text: str) -> dict[str, float]:
    """A sample from one line of nvidia-smi's answer; what it does not support is left out."""
    names = ("sm_mhz", "memory_mhz", "temperature_c", "power_w", "reasons")
    found: dict[str, float] = {}
    for name, cell in zip(names, text.split(","), strict=False):
        with suppress(ValueError):
            found[name] = float(int(cell, 16) if "0x" in cell else float(cell))
    return found


@contextmanager
def _watched_cpu(record: Record, threads: int) -> Iterator[None]:
    before_s, waited_s, start = busy_s(), _waited_s(), time.monotonic()
    record.samples += _frequency()
    try:
        yield
    finally:
        record.samples += _frequency()
        wall_s = max(time.monotonic() - start, 1e-3)
        if before_s is not None and (now_s := busy_s()) is not None:
            record.others_cores = max((now_s - before_s) / wall_s - threads, 0.0)
        if waited_s is not None and (now_s := _waited_s()) is not None:
            record.pressure = min(max((now_s - waited_s) / wall_s, 0.0), 1.0)


def _frequency() -> Sequence[Mapping[str, float]]:
    """One processor's frequency, of those that this process may use."""
    number = min(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):
        file = f"/sys/devices/system/cpu/cpu{number}/cpufreq/scaling_cur_freq"
        return [{"mhz": int(_first_bytes(file)) / 1e3}]
    with suppress(OSError, ValueError):
        for line in _first_bytes("/proc/cpuinfo").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "cpu MHz":
                return [{"mhz": float(value)}]
    return []


def _first_bytes(name: str) -> str:
    """What a file of the kernel's begins with. Plainly read: this happens at every timing."""
    descriptor = os.open(name, os.O_RDONLY)
    try:
        return os.read(descriptor, 4096).decode("ascii", errors="replace")
    finally:
        os.close(descriptor)


def busy_s() -> float | None:
    """Processor seconds spent on this machine so far, by anybody; None where it is not told."""
    with suppress(OSError, ValueError, IndexError):
        # user, nice, system, idle, iowait, irq, softirq, steal
        line = _first_bytes("/proc/stat").split("\n", 1)[0]
        ticks = [int(word) for word in line.split()[1:9]]
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
    return None


def _waited_s() -> float | None:
    """Seconds in which something has waited for a processor (PSI); None where it is not told."""
    with suppress(OSError, ValueError, IndexError):
        line = _first_bytes("/proc/pressure/cpu").split("\n", 1)[0]
        return int(line.rpartition("total=")[2]) / 1e6
    return None
