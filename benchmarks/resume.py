"""From `--resume` of a run with many kernels to its first new candidate and evaluation."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import trivial
from evo.directory import created
from populations.store import FILE_NAME

# The command is left alone for so long before it counts as failed.
_LIMIT_S = 120.0
_LOOK_S = 0.002
_NEW = """
SELECT (SELECT max(number) FROM candidates),
       (SELECT min(stored_unix_s) FROM evaluations WHERE number > ?)
"""


def measure(kernels: int, repeats: int) -> dict[str, Any]:
    """Make a run of so many kernels, then resume copies of it with the command itself.

    Returns:
        JSON-able: seconds from the start of the process until the first new candidate is stored
        (which is when it is submitted) and until its evaluation is; best, median and all.
    """
    with tempfile.TemporaryDirectory(prefix="evo-bench-") as folder:
        made = Path(folder) / "made"
        _make(made, kernels)
        found = [_resumed(made, Path(folder) / str(n), kernels) for n in range(repeats)]
    return {
        "kernels": kernels,
        **{
            name: {"best_s": min(times), "median_s": statistics.median(times), "all_s": times}
            for name, times in zip(
                ("submitted", "evaluated"), map(list, zip(*found, strict=True)), strict=True
            )
        },
    }


def _make(directory: Path, kernels: int) -> None:
    """A run as a killed search leaves it: `kernels` judged, and what a start puts in the store."""
    from evo.facts import machine_facts

    experiment = trivial.config()
    with (
        trivial.ready_pool(experiment) as (pool, seeds),
        created(experiment, directory) as store,
    ):
        store.set_meta("baselines", pool.measure_baselines().times_ms)
        store.set_meta("target", "cpu")
        store.set_meta("facts", machine_facts("cpu", threads=pool.spec.threads))
        trivial.build(experiment, pool, store, evaluations=kernels).run(seeds)


def _resumed(made: Path, directory: Path, kernels: int) -> tuple[float, float]:
    shutil.copytree(made, directory)
    command = [sys.executable, "-m", "evo.run", str(trivial.EXPERIMENT), "--resume"]
    command += ["--dir", str(directory), "--set", f"budget.evaluations={kernels + 100}"]
    began_unix_s = time.time()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            found = _first_new(directory / FILE_NAME, kernels - 1, process)
        finally:
            process.send_signal(signal.SIGINT)
            # It writes its report and ends.
            _, errors = process.communicate()
    if found is None:
        raise OSError(f"the run did not go on: {errors.strip() or 'no new evaluation'}")
    return found[0] - began_unix_s, found[1] - began_unix_s


def _first_new(file: Path, last: int, process: subprocess.Popen[str]) -> tuple[float, float] | None:
    """When the first candidate behind `last` was seen and its evaluation stored, Unix time."""
    submitted = None
    deadline = time.monotonic() + _LIMIT_S
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as reader:
        while process.poll() is None and time.monotonic() < deadline:
            highest, evaluated = reader.execute(_NEW, [last]).fetchone()
            if submitted is None and highest > last:
                submitted = time.time()
            if evaluated is not None:
                # The first may have come and gone between two looks.
                return submitted or evaluated, evaluated
            time.sleep(_LOOK_S)
    return None
