"""The policies on a problem that is really compiled and measured: conv1d on a CPU.

`python -m benchmarks.ablation live` carries out whole runs of `python -m evo.run`, each on
processors of its own, many beside each other where there are many processors. A run is ended in
good order when the time is up, and taken up again by the same command; every run gets as far as
the first budget before any goes on to the next. Then each champion that a run named at a budget,
or that may be near the best of all, is measured once more by `evo bench`, with fresh processes and
inputs: what a search believes of its champion is partly luck.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ablation.arms import ARMS, ENDS, ROOT
from benchmarks.ablation.results import packed

EXPERIMENT = ROOT / "experiments/conv1d.toml"
WORKLOAD = "fp32_b8"
# Arms that search; one that measures again spends its budget otherwise.
LIVE = tuple(name for name in ARMS if name not in (*ENDS, "remeasure", "screened_remeasure"))
SETTINGS = (
    'target.device="cpu"',
    f'target.cpu.workloads=["{WORKLOAD}"]',
    'target.cpu.baselines=["eager"]',
    "budget.wall_s=0",
    "budget.patience=0",
    "search.finalists=1",
    "knowledge.library=false",
)
SCREENED = "screened"
# A champion that its search put this far below the best of all is not measured again.
_NEAR = 0.85
_ENDING_S = 20.0
_PROGRESS_S = 10.0


@dataclass(frozen=True, slots=True)
class Champion:
    """Whom a run named from some point on.

    Attributes:
        at: Evaluations after which it did.
        number: Of the kernel in that run.
        estimate: Its speedup as the search had measured it.
        measured: Speedup, lower and upper end, measured once more; None: it was not.
    """

    at: int
    number: int
    estimate: float
    measured: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class LiveRun:
    """One run and its champions in order.

    Attributes:
        arm: Name of the arm.
        seed: Of the search.
        spent: Evaluations.
        wall_s: Time that they took.
        champions: In order.
    """

    arm: str
    seed: int
    spent: int
    wall_s: float
    champions: tuple[Champion, ...]

    def champion(self, evaluations: int) -> Champion | None:
        """Whom it named after so many evaluations."""
        return next((c for c in reversed(self.champions) if c.at <= evaluations), None)


@dataclass(frozen=True, slots=True)
class Job:
    """One command on one slot.

    Attributes:
        name: For the log's file.
        words: Behind `python -m`.
    """

    name: str
    words: tuple[str, ...]


class Slots:
    """Processors shared out in groups; on each group one command at a time.

    Args:
        folder: Where logs go, and each group's own runtime folder, so that groups do not take
            turns for one lease.
        cores: Processors of a group.
        deadline: On the monotonic clock; what runs then is interrupted, the rest not begun.
    """

    def __init__(self, folder: Path, *, cores: int, deadline: float) -> None:
        every = sorted(os.sched_getaffinity(0))
        self.groups = [every[n : n + cores] for n in range(0, len(every) - cores + 1, cores)]
        self._folder, self._deadline = folder, deadline

    def run(self, jobs: Sequence[Job], finished: Callable[[], int]) -> None:
        """Carry out the jobs in order, as far as the time goes; `finished` is for the progress."""
        left: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in jobs:
            left.put(job)
        began = time.monotonic()
        with ThreadPoolExecutor(len(self.groups)) as pool:
            working = {pool.submit(self._work, n, left) for n in range(len(self.groups))}
            over: set[Future[None]] = set()
            while working:
                ended, working = wait(working, _PROGRESS_S)
                over |= ended
                print(f"{time.monotonic() - began:6.0f} s  {finished()}/{len(jobs)}", flush=True)
        for future in over:
            future.result()

    def _work(self, number: int, left: queue.SimpleQueue[Job]) -> None:
        # Of this thread alone, and of what it starts.
        os.sched_setaffinity(0, self.groups[number])
        runtime = self._folder / f"xdg{number}"
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime)}
        while time.monotonic() < self._deadline:
            try:
                job = left.get_nowait()
            except queue.Empty:
                return
            with (self._folder / f"{job.name}.log").open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", *job.words],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    cwd=ROOT,
                )
                self._wait(process)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_ENDING_S)
                return
            process.kill()
            process.wait()


def search(folder: Path, slots: Slots, arms: Sequence[str], seeds: int, budget: int) -> bool:
    """Bring every run to a budget; whether all are there."""
    names = [(arm, seed) for seed in range(1, seeds + 1) for arm in arms]

    def left() -> list[tuple[str, int]]:
        return [(a, s) for a, s in names if _spent(folder / f"{a}-{s}") < budget]

    # Screened runs take several times as long: what ends last should not have begun last.
    todo = sorted(left(), key=lambda run: run[0] != SCREENED)
    jobs = [_run_of(folder / f"{arm}-{seed}", arm, seed, budget) for arm, seed in todo]
    print(f"{budget} evaluations: {len(jobs)} of {len(names)} runs to do", flush=True)
    slots.run(jobs, lambda: len(jobs) - len(left()))
    return not left()


def _run_of(directory: Path, arm: str, seed: int, budget: int) -> Job:
    settings = (
        *SETTINGS,
        *ARMS[arm].settings,
        f"search.seed={seed}",
        f"budget.evaluations={budget}",
    )
    overrides = [word for setting in settings for word in ("--set", setting)]
    resume = ["--resume"] if (directory / "run.db").exists() else []
    words = ("evo.run", str(EXPERIMENT), "--dir", str(directory), *resume, *overrides)
    return Job(directory.name, words)


def _spent(directory: Path) -> int:
    from populations.store import Store

    if not (directory / "run.db").exists():
        return 0
    with Store.open(directory, read_only=True) as store:
        return len(store.history())


def read_runs(folder: Path) -> Iterator[LiveRun]:
    """The runs of a folder, with what was measured once more."""
    from populations.statistics import Progress
    from populations.store import Store

    for path in sorted(folder.glob("*/run.db")):
        name = path.parent.name
        with Store.open(path.parent, read_only=True) as store:
            history = store.history()
            wall_s = float(store.meta("wall_s") or 0.0)
        champions, progress = [], Progress()
        for at, kernel in enumerate(history, start=1):
            speedup = kernel.evaluation.speedup
            if progress.insert(kernel) and speedup is not None:
                measured = _measured(folder, name, kernel.number)
                champions.append(Champion(at, kernel.number, speedup.value, measured))
        arm, _, seed = name.rpartition("-")
        yield LiveRun(arm, int(seed), len(history), round(wall_s, 1), tuple(champions))


def _measured(folder: Path, run: str, number: int) -> tuple[float, float, float] | None:
    path = folder / "measured" / f"{run}-{number}.json"
    if not path.exists():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))["speedup"]
    return found["value"], found["low"], found["high"]


def measure(folder: Path, slots: Slots, budgets: Sequence[int]) -> bool:
    """Measure champions once more, each on a slot of its own; whether all have been."""
    from populations.store import Store

    runs = list(read_runs(folder))
    best = max((c.estimate for run in runs for c in run.champions), default=0.0)
    (folder / "measured").mkdir(exist_ok=True)
    jobs = []
    for run in runs:
        named = {c.number for budget in budgets if (c := run.champion(budget))}
        near = {c.number for c in run.champions if c.estimate >= _NEAR * best}
        name = f"{run.arm}-{run.seed}"
        with Store.open(folder / name, read_only=True) as store:
            sources = {c.number: c.source for c in store.candidates()}
        for number in sorted(named | near):
            if _measured(folder, name, number) is None:
                path = folder / "measured" / f"{name}-{number}.py"
                path.write_text(sources[number], encoding="utf-8")
                jobs.append(_bench_of(path))
    # Not run by run: an hour in which the machine was slower belongs to no arm.
    jobs.sort(key=lambda job: job.name[::-1])
    print(f"{len(jobs)} champions to measure once more", flush=True)

    def finished() -> int:
        return sum((folder / "measured" / f"{job.name}.json").exists() for job in jobs)

    slots.run(jobs, finished)
    return finished() == len(jobs)


def _bench_of(path: Path) -> Job:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    out = ("--out", str(path.with_suffix(".json")))
    words = ("evo.bench", str(path), "--experiment", str(EXPERIMENT), *out, *settings)
    return Job(path.stem, words)


def live(
    folder: Path,
    *,
    arms: Sequence[str],
    seeds: int,
    budgets: Sequence[int],
    cores: int,
    wall_s: float,
) -> bool:
    """Search to each budget, then measure, as far as the time goes; whether all is done."""
    folder.mkdir(parents=True, exist_ok=True)
    slots = Slots(folder, cores=cores, deadline=time.monotonic() + wall_s)
    print(f"{len(slots.groups)} runs at once, {cores} processors each", flush=True)
    done = all(search(folder, slots, arms, seeds, budget) for budget in sorted(budgets))
    return done and measure(folder, slots, budgets)


def pack_live(folder: Path, about: dict[str, Any]) -> str:
    """The runs of a folder as the text of the file that is kept."""
    return packed(read_runs(folder), about)


def unpack_live(path: Path) -> tuple[dict[str, Any], list[LiveRun]]:
    """What `pack_live` made."""
    data = json.loads(path.read_text(encoding="utf-8"))
    runs = []
    for item in data.pop("runs"):
        champions = tuple(
            Champion(**{**c, "measured": tuple(c["measured"]) if c["measured"] else None})
            for c in item["champions"]
        )
        runs.append(LiveRun(**{**item, "champions": champions}))
    return data, runs
