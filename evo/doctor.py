"""`evo doctor`: what this machine can confine, compile and measure.

Nothing is needed but the machine: no experiment, no torch imported, nothing written. A layer or a
counter that is missing is a finding, not a failure; the names of the layers are those that
`[sandbox] require` takes.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import json
import os
import platform
import shutil
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from operator import attrgetter
from pathlib import Path

PACKAGES = (
    *("torch", "triton", "numpy", "deap", "optuna", "networkx", "sqlalchemy", "rich"),
    *("libcst", "tree-sitter", "tree-sitter-cpp"),
)
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        topic: What it is part of: machine, packages, confinement, cuda, counters, cache, lock.
        name: What was looked at.
        ok: Whether it is there; None for a plain fact.
        text: The fact, or why it is not there.
    """

    topic: str
    name: str
    ok: bool | None
    text: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `evo doctor`; returns its exit status, 0 also when things are missing."""
    parser = argparse.ArgumentParser(prog="evo doctor", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", action="store_true", help="for machines: a list of findings")
    options = parser.parse_args(arguments)
    from evo.signals import guarded

    return guarded(lambda: doctor(as_json=options.json))


def doctor(*, as_json: bool) -> int:
    """Print every finding."""
    findings = list(examine())
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
        return 0
    marks = {True: "yes", False: "no", None: ""}
    width = max(len(finding.name) for finding in findings)
    for topic, group in groupby(findings, key=attrgetter("topic")):
        print(topic)
        for finding in group:
            print(f"  {finding.name:{width}}  {marks[finding.ok]:3}  {finding.text}")
    return 0


def examine() -> Iterator[Finding]:
    """Look at everything, in the order in which it is shown."""
    yield from _machine()
    yield from _packages()
    yield from _confinement()
    yield from _cuda()
    yield from _counters()
    yield from _cache()
    yield from _locks()


def _machine() -> Iterator[Finding]:
    from evo import __version__
    from evo.device import compiler
    from evo.facts import first_line, machine_facts

    facts = machine_facts("cpu", threads=0)
    yield Finding("machine", "evo", None, __version__)
    yield Finding("machine", "python", None, f"{platform.python_version()}, {sys.executable}")
    yield Finding("machine", "kernel", None, f"{platform.system()} {platform.release()}")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GIB
    cores = f"{facts['cores']} of {os.cpu_count()} cores usable"
    yield Finding("machine", "processor", None, f"{facts['device']}, {cores}, {memory:.0f} GiB")
    average = os.getloadavg()[0]
    yield Finding("machine", "load", None, f"{average:.1f} on average over the last minute")
    path = compiler()
    text = f"{path}: {first_line([path, '--version'])}" if path else "install g++, or set CXX"
    yield Finding("machine", "compiler", path is not None, text)


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            yield Finding("packages", name, True, version(name))
        except PackageNotFoundError:
            needed = "needed on CUDA alone" if name == "triton" else "needed"
            yield Finding("packages", name, False, f"not installed; {needed}")


def _confinement() -> Iterator[Finding]:
    from fitness.sandbox.layers import MEANING
    from fitness.sandbox.zygote import Zygote
    from populations.errors import WorkerError

    try:
        with Zygote(preload=(), environment={}) as zygote:
            layers = zygote.layers()
    except WorkerError as error:
        yield Finding("confinement", "process", False, str(error))
        return
    for layer in layers.values():
        meant = f"against {MEANING[layer.name]}"
        text = f"{meant} ({layer.detail})" if layer.on and layer.detail else layer.detail or meant
        yield Finding("confinement", layer.name, layer.on, text)


def _cuda() -> Iterator[Finding]:
    from evo.device import missing_for_cuda
    from evo.facts import nvidia_query

    missing = missing_for_cuda()
    yield Finding("cuda", "usable", not missing, missing or "driver, device, torch and triton")
    query = ("name", "driver_version", "memory.total", "compute_cap")
    for number, line in enumerate(nvidia_query(query)):
        name, driver, memory, capability = (*line, "", "", "", "")[:4]
        text = f"{name}, {memory}, compute capability {capability}, driver {driver}"
        yield Finding("cuda", f"device {number}", True, text)


def _counters() -> Iterator[Finding]:
    refused = _perf_refused()
    yield Finding("counters", "perf", not refused, refused or "cycles can be counted")
    refused = _nvml_refused()
    text = refused or "clocks, temperature and throttle reasons can be read"
    yield Finding("counters", "nvml", not refused, text)


def _perf_refused() -> str:
    """Why this process may not count its own cycles; "" when it may."""
    from fitness.sandbox import linux

    number = {"x86_64": 298, "aarch64": 241}.get(platform.machine())
    if number is None:
        return f"not looked for on {platform.machine()}"
    # A counter of hardware cycles: disabled, the kernel and the hypervisor not counted.
    attributes = struct.pack("IIQQQQQ16x", 0, 64, 0, 0, 0, 0, 1 | 1 << 5 | 1 << 6)
    try:
        os.close(linux.syscall(number, ctypes.c_char_p(attributes), 0, -1, -1, 0))
    except OSError as error:
        level = Path("/proc/sys/kernel/perf_event_paranoid")
        reason = os.strerror(error.errno or 0)
        with contextlib.suppress(OSError):
            reason += f" (perf_event_paranoid is {level.read_text().strip()})"
        return reason
    return ""


def _nvml_refused() -> str:
    """Why the driver's management library cannot be used; "" when it can."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return "no libnvidia-ml.so.1"
    status = library.nvmlInit_v2()
    if status == 0:
        library.nvmlShutdown()
    return f"nvmlInit failed with {status}" if status else ""


def _cache() -> Iterator[Finding]:
    from evo.experiment import cache_dir

    folder = cache_dir()
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free / _GIB
    usable = os.access(there, os.W_OK | os.X_OK)
    made = "" if there == folder else ", not there yet"
    text = f"{folder}{made}, {free:.1f} GiB free" if usable else f"{there} cannot be written"
    yield Finding("cache", "folder", usable, text)


def _locks() -> Iterator[Finding]:
    from fitness.lease import runtime_folder
    from populations.errors import DeviceError

    try:
        folder = runtime_folder()
    except (DeviceError, OSError) as error:
        yield Finding("lock", "folder", False, str(error))
        return
    yield Finding("lock", "folder", True, str(folder))
    for path in sorted(folder.glob("*.lock")):
        held = _held(path)
        yield Finding("lock", path.stem, None, "in use by a search" if held else "free")


def _held(path: Path) -> bool:
    try:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
