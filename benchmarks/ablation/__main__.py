"""`python -m benchmarks.ablation`: compare policies over measured landscapes.

run      every arm, landscape and seed that is not there yet, then the report
live     whole runs on a problem that is compiled and measured, then the report
report   docs/ablation.md and its figures from the runs that are kept, and from those of a file

A run is there if it is in the file that runs are added to as they end, or among those that are
kept; `run --anew` looks at the former alone, as is right once the search has changed. Cut off, the
same command goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.ablation.arms import ARMS, tables
from benchmarks.ablation.live import LIVE, live, pack_live
from benchmarks.ablation.pool import each
from benchmarks.ablation.results import append, merged, pack, read, seeds_of, unpack
from benchmarks.ablation.runs import Run, Task, run
from populations.errors import EvoError

KEPT = Path(__file__).parent / "results.json"
KEPT_LIVE = Path(__file__).parent / "live.json"


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
    command.add_argument("--jobs", "--workers", type=int, default=2, help="runs at once")
    command.add_argument("--anew", action="store_true", help="those that are kept are not there")
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
    command.add_argument("--file", type=Path, help="keep what it has, of the budget of all others")
    command.set_defaults(run=_report)
    return parser


def _run(options: argparse.Namespace) -> int:
    tasks = {_key(task): task for task in _tasks(options)}
    there = read(options.file) if options.anew else [*_kept(), *read(options.file)]
    done = {_key_of(run) for run in there}
    left = [task for key, task in tasks.items() if key not in done]
    print(f"{len(tasks)} runs, {len(left)} of them to do", flush=True)
    for done_now in each(run, left, jobs=options.jobs):
        append(options.file, done_now)
    keep(read(options.file), options.evaluations)
    return _told()


def _kept() -> list[Run]:
    return unpack(KEPT)[1] if KEPT.exists() else []


def keep(runs: Sequence[Run], evaluations: int) -> None:
    """Write runs into the file that is kept, in place of what it has of the same searches.

    Args:
        runs: Those to add.
        evaluations: Budget of what is kept; runs of another are left out, and so are those of
            arms, tables and settings that are no longer compared.
    """
    known = tables()
    every = [
        run
        for run in merged(_kept(), runs)
        if run.budget == evaluations and run.arm in ARMS and run.landscape in known
        if _key_of(run) == _key(Task(known[run.landscape], run.arm, run.seed, run.budget))
    ]
    about = {**_about(seeds_of(every)), "evaluations": evaluations}
    KEPT.write_text(pack(every, about), encoding="utf-8")


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
    return _told()


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


def _report(options: argparse.Namespace) -> int:
    if options.file is not None:
        keep(read(options.file), unpack(KEPT)[0]["evaluations"])
    return _told()


def _told() -> int:
    from benchmarks.ablation.report import write

    for path in write(KEPT, KEPT_LIVE):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
