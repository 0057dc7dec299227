"""A run of many kernels: what an insert costs, what a question costs, how large the file is.

The kernels are grown as a search grows them: every source is two of the shipped seeds with the
edits of its line of descent, kept between about 3 and 6 kB, with two or three parents out of the
latest good ones. Two of three pass, with raw samples for four workloads; the others fail with a
diagnosis. What an evaluation notes beside its numbers is as long as that of real runs.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from populations.kernel import Candidate, Kernel
from populations.lineage import Lineage
from populations.outcome import Evaluation, Outcome, Speedup, Timing
from populations.queries import Queries
from populations.store import FILE_NAME, Store

SEEDS = Path(__file__).parents[1] / "experiments/seeds"
WORKLOADS = ("b1", "b8", "b32", "b128")
PAIRS = 12
SHORTEST, LONGEST = 3_000, 6_000
# One source of so many is compressed, to tell what that would save.
_SAMPLE = 50


def measure(count: int, repeats: int) -> dict[str, Any]:
    """Grow a run of `count` kernels, then ask it `repeats` times, each in a new process.

    Returns:
        JSON-able: `insert` (seconds per kind), `ask` (rows and seconds per question: the best, the
        median, and the median with a file that the system has not kept in memory), `lineage` in
        memory, and bytes per kernel.
    """
    rng = random.Random(0)
    with tempfile.TemporaryDirectory(prefix="evo-bench-") as folder:
        place = Path(folder)
        kernels, insert = _grown(place, count, rng)
        file = place / FILE_NAME
        raw = sum(len(kernel.source) for kernel in kernels)
        some = [kernel.source.encode() for kernel in kernels[::_SAMPLE]]
        return {
            "kernels": count,
            "insert": insert,
            "bytes": file.stat().st_size / count,
            "source_bytes": raw / count,
            "compressed": sum(len(zlib.compress(s)) for s in some) / sum(map(len, some)),
            "ask": _asked(place, repeats),
            "lineage": _lineage(kernels),
        }


def grow(count: int, rng: random.Random) -> Iterator[Kernel]:
    """Kernels as a long search makes them, by number."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(SEEDS.glob("*.py"))]
    seeds = [one + other for one, other in zip(texts, texts[1:] + texts[:1], strict=True)]
    good: list[tuple[int, str, float]] = []
    for number in range(count):
        parents: tuple[int, ...] = ()
        if number < len(seeds):
            source, value = seeds[number], 1.0
        else:
            chosen = rng.sample(good[-200:], min(len(good), rng.choice((2, 2, 3))))
            parents = tuple(parent for parent, _, _ in chosen)
            source = _edited(chosen[0][1], number, rng)
            value = max(v for _, _, v in chosen) * rng.lognormvariate(0.0, 0.03)
        passed = number < len(seeds) or rng.random() < 2 / 3
        candidate = Candidate(
            number=number,
            source=source,
            language="cpp" if "extern" in source else "triton",
            operator="merge" if parents else "seed",
            parents=parents,
            note=f"line {rng.randrange(90)} tiled by {rng.choice((2, 4, 8))}; then hoisted a load",
        )
        if passed:
            good.append((number, source, min(value, 40.0)))
            del good[:-400]
        yield Kernel(candidate, _passed(value, rng) if passed else _failed(rng))


def _edited(source: str, number: int, rng: random.Random) -> str:
    lines = source.split("\n")
    for _ in range(3):
        at = rng.randrange(len(lines))
        if len(source) > LONGEST or (len(source) > SHORTEST and rng.random() < 0.5):
            source = source.replace(lines[at] + "\n", "", 1)
        else:
            new = f"    acc_{number} = fma(tile_{rng.randrange(64)}, w_{rng.randrange(999)}, acc)"
            source = source.replace(lines[at], f"{lines[at]}\n{new}", 1)
    return source


def _details(rng: random.Random) -> dict[str, Any]:
    stages = ("build", "start", "construct", "check", "workloads", "time", "diagnose", "end")
    loop = "innermost loop at line %d (64-byte vectors): %d fused multiply-adds, %d loads, 5 stores"
    return {
        "stages": {s: {"wall_s": rng.random(), "device_s": rng.random()} for s in stages},
        "errors": [{"max_abs_error": rng.random(), "rms_error": rng.random()} for _ in WORKLOADS],
        "diagnostics": {"mix": [loop % (n, n * 3, n * 2) for n in rng.sample(range(99), 8)]},
        "timing": {name: {"rounds": 16, "mhz": [rng.random() * 3e3] * 3} for name in WORKLOADS},
    }


def _passed(value: float, rng: random.Random) -> Evaluation:
    timings = []
    for workload in WORKLOADS:
        samples = tuple(rng.gauss(0.0, 0.03) for _ in range(PAIRS))
        of = value * rng.lognormvariate(0.0, 0.1)
        speedup = Speedup(of, of * 0.98, of * 1.02)
        timings.append(Timing(workload, "inductor", 0.1, 0.1 * of, speedup, samples))
    return Evaluation(
        outcome=Outcome.PASSED,
        checks_passed=12,
        checks_total=12,
        timings=tuple(timings),
        speedup=Speedup(value, value * 0.98, value * 1.02),
        build_s=rng.random(),
        run_s=rng.random(),
        device_s=rng.random(),
        details=_details(rng),
    )


def _failed(rng: random.Random) -> Evaluation:
    lines = [
        f"kernel.cpp:{rng.randrange(200)}: error: 'acc_{n}' was not declared" for n in range(9)
    ]
    return Evaluation(
        outcome=rng.choice((Outcome.COMPILE_ERROR, Outcome.WRONG_VALUES)),
        checks_total=12,
        diagnostics="\n".join(lines),
        build_s=rng.random(),
        details={"stages": _details(rng)["stages"]},
    )


def _grown(place: Path, count: int, rng: random.Random) -> tuple[list[Kernel], dict[str, Any]]:
    kernels = []
    spent: dict[str, list[float]] = {"candidate": [], "evaluation": []}
    with Store.create(place, experiment="", fingerprint="") as store:
        for kernel in grow(count, rng):
            begun = time.perf_counter()
            store.add_candidate(kernel.candidate)
            between = time.perf_counter()
            store.add_evaluation(kernel.number, kernel.evaluation)
            spent["candidate"].append(between - begun)
            spent["evaluation"].append(time.perf_counter() - between)
            kernels.append(kernel)
    return kernels, {what: _quantiles(times) for what, times in spent.items()}


def _quantiles(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "median_s": statistics.median(ordered),
        "p99_s": ordered[len(ordered) * 99 // 100],
        "worst_s": ordered[-1],
    }


def _asked(place: Path, repeats: int) -> dict[str, Any]:
    """Ask in processes of their own: that is how a run is read, and nothing is warm in them."""
    found: dict[str, dict[str, Any]] = {}
    for repeat in range(2 * repeats):
        if from_disk := repeat % 2 == 1:
            _forget(place / FILE_NAME)
        command = [sys.executable, "-m", "benchmarks.store", str(place)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        for what, (rows, spent_s) in json.loads(done.stdout).items():
            entry = found.setdefault(what, {"rows": rows, "s": [], "from_disk_s": []})
            entry["from_disk_s" if from_disk else "s"].append(spent_s)
    return {
        what: {
            "rows": entry["rows"],
            "best_s": min(entry["s"]),
            "median_s": statistics.median(entry["s"]),
            "from_disk_s": statistics.median(entry["from_disk_s"]),
        }
        for what, entry in found.items()
    }


def ask(place: Path) -> dict[str, tuple[int, float]]:
    """Every question once, over a connection of its own: rows of the answer, and seconds."""
    fertile, last = _most_children(place / FILE_NAME)
    questions: dict[str, Callable[[Queries], Any]] = {
        "list": lambda run: run.entries(),
        "best 20": lambda run: run.best(20),
        "ancestors": lambda run: run.ancestors(last),
        "children": lambda run: run.children(fertile),
    }
    found = {}
    for what, question in questions.items():
        with Store.open(place, read_only=True) as store:
            begun = time.perf_counter()
            answer = question(store.queries)
            found[what] = (len(answer), time.perf_counter() - begun)
    return found


def _most_children(file: Path) -> tuple[int, int]:
    """The kernel with the most children, and the last one."""
    query = (
        "SELECT parent, (SELECT max(number) FROM candidates) FROM edges "
        "GROUP BY parent ORDER BY count(*) DESC LIMIT 1"
    )
    with closing(sqlite3.connect(file)) as connection:
        fertile, last = connection.execute(query).fetchone()
    return int(fertile), int(last)


def _forget(file: Path) -> None:
    """Ask the system to forget what it keeps of a file in memory."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def _lineage(kernels: list[Kernel]) -> dict[str, float]:
    lineage = Lineage()
    begun = time.perf_counter()
    for kernel in kernels:
        lineage.add(kernel)
    added = time.perf_counter()
    lineage.ancestors(kernels[-1].number)
    first = time.perf_counter()
    lineage.children(kernels[len(kernels) // 2].number)
    last = time.perf_counter()
    return {
        "add_s": (added - begun) / len(kernels),
        "ancestors_s": first - added,
        "children_s": last - first,
    }


if __name__ == "__main__":
    print(json.dumps(ask(Path(sys.argv[1]))))
