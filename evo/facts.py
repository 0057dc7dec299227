"""What a reader must know of the machine to repeat a measurement; found without importing torch."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from evo import __version__
from evo.device import Device, compiler
from fitness.ceilings import processor_name


def machine_facts(device: Device, *, threads: int) -> dict[str, str]:
    """Device, threads and versions, label -> text; what is not there is left out."""
    facts = {
        "device": processor_name() if device == "cpu" else _gpu_name(),
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
        facts["compiler"] = first_line([path, "--version"])
    if device == "cuda":
        facts["driver"] = first_line(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        )
    return facts


def _gpu_name() -> str:
    return first_line(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]) or "CUDA device"


def nvidia_query(keys: Sequence[str]) -> list[list[str]]:
    """What `nvidia-smi` tells of each device, in the order of `keys`; empty without it."""
    found = _lines(["nvidia-smi", f"--query-gpu={','.join(keys)}", "--format=csv,noheader"])
    return [[cell.strip() for cell in line.split(",")] for line in found]


def first_line(command: list[str]) -> str:
    """The first line that a program prints; "" when it fails or prints nothing."""
    return next(iter(_lines(command)), "").strip()


def _lines(command: list[str]) -> list[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.strip().splitlines() if done.returncode == 0 else []
