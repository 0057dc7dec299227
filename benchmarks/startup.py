"""How long the command takes until it could begin: its import, and its help."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

COMMANDS: Mapping[str, Sequence[str]] = {
    "python": ["-c", "pass"],
    "import": ["-c", "import evo.run"],
    "help": ["-m", "evo.run", "--help"],
}


def measure(
    repeats: int, commands: Mapping[str, Sequence[str]] = COMMANDS
) -> dict[str, dict[str, Any]]:
    """Start each command in turn, `repeats` times; JSON-able, seconds of wall and CPU time."""
    wall: dict[str, list[float]] = {name: [] for name in commands}
    cpu: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, arguments in commands.items():
            before, start = os.times(), time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            wall[name].append(time.perf_counter() - start)
            after = os.times()
            cpu[name].append(
                after.children_user
                + after.children_system
                - before.children_user
                - before.children_system
            )
    return {
        name: {
            "best_s": min(wall[name]),
            "median_s": statistics.median(wall[name]),
            "cpu_s": statistics.median(cpu[name]),
            "all_s": wall[name],
        }
        for name in commands
    }
