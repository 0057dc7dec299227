"""`python -m benchmarks.openevolve`: OpenEvolve and our policies with the same operators.

run      every run that is not in the file yet, then the report
report   RESULTS.md from the runs that are kept
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from benchmarks.ablation.arms import tables
from benchmarks.ablation.report import table_of
from benchmarks.ablation.results import append, lines, pack, read, unpack
from benchmarks.ablation.runs import Run
from benchmarks.openevolve.ours import (
    BARE,
    OPENEVOLVE,
    OPENEVOLVE_DISTINCT,
    SCREENED,
    even,
    openevolve,
)
from populations.errors import EvoError

_HERE = Path(__file__).parent
KEPT, RESULTS = _HERE / "results.json", _HERE / "RESULTS.md"
POLICIES = ("population", "islands", "map_elites", "random")
OURS = (
    f"population{SCREENED}",
    *POLICIES,
    *(f"{policy}{BARE}" for policy in POLICIES),
)
TITLES = {
    OPENEVOLVE: "OpenEvolve",
    OPENEVOLVE_DISTINCT: "OpenEvolve, repeated programs for nothing",
    f"population{SCREENED}": "evo, population, screened (the default)",
    **{policy: f"evo, {policy}" for policy in POLICIES},
    **{f"{policy}{BARE}": f"evo, {policy}, bare" for policy in POLICIES},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.openevolve", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("run", help="search, then report")
    command.add_argument("--python", type=Path, required=True, help="one that has openevolve")
    command.add_argument("--landscapes", nargs="+", choices=list(tables()), default=list(tables()))
    command.add_argument("--seeds", type=int, default=20)
    command.add_argument("--evaluations", type=int, default=400)
    command.add_argument("--workers", type=int, default=2, help="runs of OpenEvolve at once")
    command.add_argument("--file", type=Path, default=Path("runs/openevolve.jsonl"))
    command.set_defaults(run=_run)
    commands.add_parser("report", help="write RESULTS.md").set_defaults(run=_report)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except EvoError as error:
        print(error, file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    done = {(r.landscape, r.arm, r.seed, r.budget) for r in read(options.file)}
    began, budget = time.monotonic(), options.evaluations
    for seed in range(1, options.seeds + 1):
        for name in options.landscapes:
            for arm in OURS:
                if (name, arm, seed, budget) not in done:
                    append(options.file, even(tables()[name], arm, seed, budget))
    left = [
        (name, seed)
        for seed in range(1, options.seeds + 1)
        for name in options.landscapes
        if (name, OPENEVOLVE_DISTINCT, seed, budget) not in done
    ]
    print(f"{time.monotonic() - began:6.0f} s  {len(left)} runs of OpenEvolve to do", flush=True)

    def one(task: tuple[str, int]) -> list[Run]:
        name, seed = task
        return list(openevolve(options.python, tables()[name], seed, budget))

    with ThreadPoolExecutor(options.workers) as pool:
        futures = [pool.submit(one, task) for task in left]
        for number, future in enumerate(as_completed(futures), 1):
            for run in future.result():
                append(options.file, run)
            print(f"{time.monotonic() - began:6.0f} s  {number}/{len(left)}", flush=True)
    return keep(options)


def keep(options: argparse.Namespace) -> int:
    """Write the runs of a file into the one that is kept, then the report."""
    runs = [run for run in read(options.file) if run.budget == options.evaluations]
    about = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "openevolve": _version(options.python),
        "seeds": options.seeds,
        "evaluations": options.evaluations,
    }
    KEPT.write_text(pack(runs, about), encoding="utf-8")
    return _report(options)


def _version(python: Path) -> str:
    import subprocess

    code = "from importlib.metadata import version; print(version('openevolve'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _report(_options: argparse.Namespace) -> int:
    from fitness.landscape.table import load

    about, runs = unpack(KEPT)
    budgets = sorted({min(100, about["evaluations"]), about["evaluations"]})
    parts = [f"# OpenEvolve {about['openevolve']} and evo\n\nWhat is compared: README.md.\n"]
    order = list(TITLES)
    for name in sorted({run.landscape for run in runs}):
        mine = sorted((r for r in runs if r.landscape == name), key=lambda r: order.index(r.arm))
        found = lines(mine, load(tables()[name]), budgets)
        parts.append(f"## {name}\n\n{table_of(found, budgets, TITLES)}\n")
    RESULTS.write_text("\n".join(parts), encoding="utf-8")
    print(RESULTS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
