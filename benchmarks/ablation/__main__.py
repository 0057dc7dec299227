"""`python -m benchmarks.ablation`: compare policies over measured landscapes.

run      every arm, landscape and seed that is not in the file yet, then the report
live     whole runs on a problem that is compiled and measured, then the report
report   docs/ablation.md and its figures from the runs that are kept
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from benchmarks.ablation.arms import ARMS, tables
from benchmarks.ablation.live import LIVE, live, pack_live
from benchmarks.ablation.results import append, pack, read
from benchmarks.ablation.runs import Run, Task, run
from populations.errors import EvoError

KEPT = Path(__file__).parent / "results.json"
KEPT_LIVE = Path(__file__).parent / "live.json"
_NICE = 5
_PROGRESS_S = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except EvoError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.ablation", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("run", help="search, then report")
    command.add_argument("--landscapes", nargs="+", choices=list(tables()), default=list(tables()))
    command.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    command.add_argument("--seeds", type=int, default=20)
    command.add_argument("--evaluations", type=int, default=400, help="the budget of each run")
    command.add_argument("--workers", type=int, default=2, help="processes")
    command.add_argument("--file", type=Path, default=Path("runs/ablation.jsonl"))
    command.set_defaults(run=_run)
    command = commands.add_parser("live", help="search conv1d on CPU cores, then report")
    command.add_argument("--arms", nargs="+", choices=LIVE, default=list(LIVE))
    command.add_argument("--seeds", type=int, default=5)
    command.add_argument("--budgets", type=int, nargs="+", default=[100, 400])
    command.add_argument("--cores", type=int, default=2, help="processors of each run")
    command.add_argument("--wall-s", type=float, default=86400.0, help="then it is interrupted")
    command.add_argument("--folder", type=Path, default=Path("runs/live"))
    command.set_defaults(run=_live)
    command = commands.add_parser("report", help="write the document from the runs that are kept")
    command.set_defaults(run=_report)
    return parser


def _run(options: argparse.Namespace) -> int:
    tasks = _tasks(options)
    wanted = {_key(task): task for task in tasks}
    done = {(r.landscape, r.arm, r.seed, r.budget, r.fingerprint): r for r in read(options.file)}
    left = [task for key, task in wanted.items() if key not in done]
    print(f"{len(tasks)} runs, {len(left)} of them to do", flush=True)
    began = told = time.monotonic()
    # A run is made of threads of its own; a forked one would share them.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        options.workers, mp_context=context, initializer=os.nice, initargs=(_NICE,)
    ) as pool:
        pending: set[Future[Run]] = {pool.submit(run, task) for task in left}
        while pending:
            over, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in over:
                append(options.file, future.result())
            now = time.monotonic()
            if now - told > _PROGRESS_S or not pending:
                told, finished = now, len(left) - len(pending)
                rate = finished / (now - began)
                print(f"{now - began:6.0f} s  {finished}/{len(left)}  {rate:.2f}/s", flush=True)
    runs = [r for r in read(options.file) if _key_of(r) in wanted]
    about = {**_about(options.seeds), "evaluations": options.evaluations}
    KEPT.write_text(pack(runs, about), encoding="utf-8")
    return _report(options)


def _at_once(folder: Path, runs: int) -> int:
    """Note how many runs this command has at once; the most that any had, earlier ones included."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "at_once"
    most = max(runs, int(file.read_text(encoding="ascii")) if file.exists() else 0)
    file.write_text(str(most), encoding="ascii")
    return most


def _live(options: argparse.Namespace) -> int:
    """Status 3: the time was up; the same command goes on."""
    folder = options.folder.absolute()
    at_once = _at_once(folder, len(os.sched_getaffinity(0)) // options.cores)
    done = live(
        folder,
        arms=options.arms,
        seeds=options.seeds,
        budgets=options.budgets,
        cores=options.cores,
        wall_s=options.wall_s,
    )
    if not done:
        print(f"not all done: the same command goes on with what is in {options.folder}")
        return 3
    about = {
        **_about(options.seeds),
        "budgets": sorted(options.budgets),
        "cores": options.cores,
        "at_once": at_once,
    }
    KEPT_LIVE.write_text(pack_live(folder, about), encoding="utf-8")
    return _report(options)


def _tasks(options: argparse.Namespace) -> list[Task]:
    """By seed first: what is done when it is interrupted is as much of every arm."""
    known = tables()
    return [
        Task(known[name], arm, seed, options.evaluations)
        for seed in range(1, options.seeds + 1)
        for name in options.landscapes
        for arm in options.arms
    ]


def _key(task: Task) -> tuple[object, ...]:
    fingerprint = task.config.fingerprint()
    return task.table.stem, task.arm, task.seed, task.evaluations, fingerprint


def _key_of(run: Run) -> tuple[object, ...]:
    return run.landscape, run.arm, run.seed, run.budget, run.fingerprint


def _about(seeds: int) -> dict[str, Any]:
    from evo.facts import machine_facts

    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine_facts("cpu", threads=1),
        "seeds": seeds,
    }


def _report(_options: argparse.Namespace) -> int:
    from benchmarks.ablation.report import write

    for path in write(KEPT, KEPT_LIVE):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
