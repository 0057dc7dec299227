"""`python -m benchmarks rate|memory|startup|resume|all`: measure, print a table, keep the numbers.

The rate depends on who else uses the machine: every result tells which share of the processors
others had meanwhile, and the best of several repeats is the one to quote.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import memory, rate, report, resume, startup
from benchmarks.tree import LoadWatch
from evo.facts import machine_facts

KINDS = ("rate", "memory", "startup", "resume", "all")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for; returns 0, whether or not a bar is reached."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="evo-bench-") as folder:
        # Searches on one machine take turns at timing; here others' turns would be counted.
        os.environ["XDG_RUNTIME_DIR"] = folder
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    watch = LoadWatch()
    results: dict[str, Any] = {
        "unix_s": round(time.time()),
        "machine": machine_facts("cpu", threads=1),
    }
    wanted = KINDS[:-1] if options.kind == "all" else (options.kind,)
    for kind in wanted:
        results[kind] = _measured(kind, options)
        print(report.table({kind: results[kind]}), flush=True)
    results["load_average"] = watch.read().average
    file = options.json or Path("runs/benchmarks") / f"{results['unix_s']}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(file)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument(
        "--candidates",
        type=int,
        nargs="+",
        default=[200, 2000],
        help="lengths of the runs whose rate is measured (default: 200 2000)",
    )
    parser.add_argument("--kernels", type=int, default=1000, help="kernels of the resumed run")
    parser.add_argument("--repeats", type=int, default=5, help="of startup and resume")
    parser.add_argument("--json", type=Path, help="where the numbers go (runs/benchmarks/...)")
    return parser


def _measured(kind: str, options: argparse.Namespace) -> Any:
    if kind == "rate":
        return [rate.measure(count) for count in options.candidates]
    if kind == "memory":
        return memory.measure(min(options.candidates))
    if kind == "startup":
        return startup.measure(options.repeats)
    return resume.measure(options.kernels, options.repeats)


if __name__ == "__main__":
    sys.exit(main())
