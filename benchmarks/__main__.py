"""`python -m benchmarks KIND`: measure, print a table, keep the numbers.

KIND is one of rate, memory, startup, resume and store, `all` for these five, or one with options of
its own: aa or stages, which measure the judge on a device, noise, which measures the search, or
tuning, which replays the tuner on measured tables.

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

from benchmarks import aa, memory, noise, rate, report, resume, stages, startup, store, tuning
from benchmarks.tree import LoadWatch
from evo.facts import machine_facts

OWN = ("rate", "memory", "startup", "resume", "store")
KINDS = (*OWN, "aa", "stages", "noise", "tuning", "all")


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
        "machine": machine_facts(options.device, threads=options.threads),
    }
    wanted = OWN if options.kind == "all" else (options.kind,)
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
    parser.add_argument(
        "--stored", type=int, default=20_000, help="kernels of the run whose store is asked"
    )
    parser.add_argument("--worlds", type=int, default=60, help="landscapes of noise")
    parser.add_argument("--evaluations", type=int, default=200, help="of each search of noise")
    parser.add_argument("--repeats", type=int, default=5, help="of startup, resume and store")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of aa and stages")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of aa and stages")
    parser.add_argument(
        "--repetitions", type=int, default=200, help="of aa and stages (default: 200)"
    )
    parser.add_argument("--pairs", type=int, default=60, help="of aa, per measurement")
    parser.add_argument(
        "--workloads",
        default="",
        help=f"of aa, separated by commas (default: {aa.DEFAULT['cpu']} or {aa.DEFAULT['cuda']})",
    )
    parser.add_argument("--seeds", type=int, default=20, help="of tuning (default: 20)")
    parser.add_argument("--tables", type=Path, nargs="*", default=[], help="of tuning: files")
    parser.add_argument(
        "--samplers",
        default="",
        help=f"of tuning, separated by commas: {', '.join(tuning.SAMPLERS)}",
    )
    parser.add_argument("--in-flight", type=int, default=4, help="of tuning (default: 4)")
    parser.add_argument("--json", type=Path, help="where the numbers go (runs/benchmarks/...)")
    return parser


def _measured(kind: str, options: argparse.Namespace) -> Any:
    if kind == "store":
        return store.measure(options.stored, options.repeats)
    if kind == "noise":
        return noise.measure(options.evaluations, options.worlds)
    if kind == "tuning":
        samplers = tuple(filter(None, options.samplers.split(",")))
        return tuning.measure(options.tables, options.seeds, samplers, options.in_flight)
    if kind == "startup":
        return startup.measure(options.repeats)
    if kind == "resume":
        return resume.measure(options.kernels, options.repeats)
    return _judged(kind, options)


def _judged(kind: str, options: argparse.Namespace) -> Any:
    if kind == "rate":
        return [rate.measure(count) for count in options.candidates]
    if kind == "memory":
        return memory.measure(min(options.candidates))
    if kind == "aa":
        workloads = tuple(filter(None, options.workloads.split(",")))
        return aa.measure(
            options.device,
            options.repetitions,
            workloads,
            threads=options.threads,
            pairs=options.pairs,
        )
    return stages.measure(options.device, options.repetitions, options.threads)


if __name__ == "__main__":
    sys.exit(main())
