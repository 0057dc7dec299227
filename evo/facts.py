"""What a reader must know of the machine to repeat a measurement; found without importing torch."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from evo import __version__
from evo.device import Device, compiler


def machine_facts(device: Device, *, threads: int) -> dict[str, str]:
    """Device, threads and versions, label -> text; what is not there is left out."""
    facts = {
        "device": _cpu_name() if device == "cpu" else _gpu_name(),
        "target": device,
        "threads": str(threads),
        "cores": str(len(os.sched_getaffinity(0))),
        "evo": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
    }
    for package in ("torch", "triton", "optuna", "deap"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    if device == "cpu" and (path := compiler()):
        facts["compiler"] = _first_line([path, "--version"])
    if device == "cuda":
        facts["driver"] = _first_line(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        )
    return facts


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _gpu_name() -> str:
    return _first_line(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]) or "CUDA device"


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.splitlines()[0].strip() if done.stdout.strip() else ""
