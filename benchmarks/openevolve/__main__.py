"""`python -m benchmarks.openevolve`: OpenEvolve and our policies with the same operators.

run      every run that is not there yet, then the report
report   RESULTS.md from the runs that are kept, and from those of a file

A run is there if it is in the file that runs are added to as they end, or among those that are
kept; with `--anew` our side of the latter is not, as is right once our search has changed. Cut
off, the same command goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.ablation.arms import tables
from benchmarks.ablation.pool import each
from benchmarks.ablation.report import table_of
from benchmarks.ablation.results import append, lines, merged, pack, read, seeds_of, unpack
from benchmarks.ablation.runs import Run
from benchmarks.openevolve.ours import (
    BARE,
    OPENEVOLVE,
    OPENEVOLVE_DISTINCT,
    SCREENED,
    SERIAL,
    Job,
    searched,
)
from populations.errors import EvoError, InputError

_HERE = Path(__file__).parent
KEPT, RESULTS = _HERE / "results.json", _HERE / "RESULTS.md"
POLICIES = ("population", "islands", "map_elites", "random")
OURS = (
    f"population{SCREENED}",
    f"population{SERIAL}",
    *POLICIES,
    *(f"{policy}{BARE}" for policy in POLICIES),
)
_THEIRS = (OPENEVOLVE, OPENEVOLVE_DISTINCT)
TITLES = {
    OPENEVOLVE: "OpenEvolve",
    OPENEVOLVE_DISTINCT: "OpenEvolve, repeated programs for nothing",
    f"population{SCREENED}": "evo, population, screened (the default)",
    f"population{SERIAL}": "evo, the default, one at a time",
    **{policy: f"evo, {policy}" for policy in POLICIES},
    **{f"{policy}{BARE}": f"evo, {policy}, bare" for policy in POLICIES},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.openevolve", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("run", help="search, then report")
    command.add_argument("--python", type=Path, help="one that has openevolve")
    command.add_argument("--landscapes", nargs="+", choices=list(tables()), default=list(tables()))
    command.add_argument("--seeds", type=int, default=20)
    command.add_argument("--evaluations", type=int, default=400)
    command.add_argument("--jobs", type=int, default=2, help="runs at once, of either side")
    command.add_argument("--anew", action="store_true", help="our side's kept runs are not there")
    command.add_argument("--file", type=Path, default=Path("runs/openevolve.jsonl"))
    command.set_defaults(run=_run)
    command = commands.add_parser("report", help="write RESULTS.md")
    command.add_argument("--file", type=Path, help="keep what it has, of the budget of all others")
    command.set_defaults(run=_report)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except EvoError as error:
        print(error, file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    kept = [r for r in _kept() if r.arm in _THEIRS or not options.anew]
    done = {(r.landscape, r.arm, r.seed, r.budget) for r in (*kept, *read(options.file))}
    left = [job for job in _jobs(options) if job.key not in done]
    theirs = sum(job.arm == OPENEVOLVE_DISTINCT for job in left)
    print(f"{len(left)} runs to do, {theirs} of them OpenEvolve's", flush=True)
    if theirs and options.python is None:
        raise InputError("runs of OpenEvolve are to do, and --python says which Python has it")
    for runs in each(searched, left, jobs=options.jobs):
        for run in runs:
            append(options.file, run)
    keep(read(options.file), options.evaluations, _version(options.python))
    return _told()


def _jobs(options: argparse.Namespace) -> list[Job]:
    """By seed first: what is done when it is interrupted is as much of every line.

    OpenEvolve's before ours, as they take longest. They tell two lines, of which one stands for
    both.
    """
    known = tables()
    return [
        Job(options.python, known[name], arm, seed, options.evaluations)
        for seed in range(1, options.seeds + 1)
        for arm in (OPENEVOLVE_DISTINCT, *OURS)
        for name in options.landscapes
    ]


def _kept() -> list[Run]:
    return unpack(KEPT)[1] if KEPT.exists() else []


def keep(runs: Sequence[Run], evaluations: int, version: str) -> None:
    """Write runs into the file that is kept, in place of what it has of the same searches.

    Args:
        runs: Those to add.
        evaluations: Budget of what is kept; runs of another are left out.
        version: OpenEvolve's; "": the one that is kept.
    """
    before = unpack(KEPT)[0] if KEPT.exists() else {}
    every = [run for run in merged(_kept(), runs) if run.budget == evaluations]
    about = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "openevolve": version or before.get("openevolve", ""),
        "seeds": seeds_of(every),
        "evaluations": evaluations,
    }
    KEPT.write_text(pack(every, about), encoding="utf-8")


def _version(python: Path | None) -> str:
    import subprocess

    if python is None:
        return ""
    code = "from importlib.metadata import version; print(version('openevolve'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _report(options: argparse.Namespace) -> int:
    if options.file is not None:
        keep(read(options.file), unpack(KEPT)[0]["evaluations"], "")
    return _told()


def _told() -> int:
    from fitness.landscape.table import load

    about, runs = unpack(KEPT)
    budgets = sorted({min(100, about["evaluations"]), about["evaluations"]})
    parts = [_head(about, runs)]
    order = list(TITLES)
    for name in sorted({run.landscape for run in runs}):
        mine = sorted((r for r in runs if r.landscape == name), key=lambda r: order.index(r.arm))
        found = lines(mine, load(tables()[name]), budgets)
        parts.append(f"## {name}\n\n{table_of(found, budgets, TITLES)}\n")
    RESULTS.write_text("\n".join(parts), encoding="utf-8")
    print(RESULTS)
    return 0


def _head(about: Mapping[str, Any], runs: Sequence[Run]) -> str:
    """What the tables are of; seeds as they are, where a line has fewer than another too."""
    most = max(Counter((run.landscape, run.arm) for run in runs).values(), default=0)
    seeds = f"{most} seeds" if most == about["seeds"] else f"{about['seeds']} to {most} seeds"
    return (
        f"# OpenEvolve {about['openevolve']} and evo\n\nWhat is compared: README.md. Medians of "
        f"{seeds} with their 95% bootstrap intervals, of the champion's true\nspeedup; columns as "
        "in docs/ablation.md.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
