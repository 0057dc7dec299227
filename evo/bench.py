"""`evo bench KERNEL --experiment E`: one kernel against every baseline, over all workloads.

KERNEL is a run directory (its champion) or a kernel's file, from a run or from anywhere.
Correctness is checked on fresh seeds first; everything is timed in the same rounds, and the JSON
file keeps every raw sample.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from evo.inline import LOADER_MODULE
from evo.tables import closing_table, format_speedup, text_table
from populations.errors import InputError

if TYPE_CHECKING:
    from populations.kernel import Candidate

# What `evo.inline` puts around the loader's text.
_LOADER = re.compile(r"# -+ C\+\+ loader -+\n.*?# -+ end of loader -+", re.DOTALL)
# What tells a kernel's language -> the language.
SIGNS = {"load_cpp(": "cpp", "import triton": "triton"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `evo bench`; returns its exit status: 1 when the kernel is wrong, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="evo bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("kernel", type=Path, help="a run directory or a kernel's file")
    parser.add_argument("--experiment", type=Path, required=True, help="a TOML file")
    parser.add_argument(
        "--workloads", help="names, separated by commas; default: those the experiment ends with"
    )
    parser.add_argument("--pairs", type=int, default=60, help="timed rounds per workload")
    parser.add_argument("--out", type=Path, help="JSON file for the table and the raw samples")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
    options = parser.parse_args(arguments)
    from evo.signals import guarded

    return guarded(lambda: bench(options))


def bench(options: argparse.Namespace) -> int:
    """Measure, print the table, write the file."""
    from evo.config import load_config
    from evo.device import choose_device
    from evo.experiment import chosen_target, evaluation_spec, seed_candidates
    from evo.facts import machine_facts
    from evo.finalists import rows_of
    from fitness.pool import LocalPool

    config = load_config(options.experiment, options.set)
    device = choose_device(config.target.device, config.path)
    seed = seed_candidates(config, device)[0]
    candidate = _candidate(options.kernel, seed)
    target = chosen_target(config, device)
    workloads = tuple(options.workloads.split(",")) if options.workloads else target.final_workloads
    if options.out and not options.out.parent.is_dir():
        raise InputError(f"--out {options.out}: no such folder {options.out.parent}")
    spec = evaluation_spec(config, device)
    with LocalPool(spec) as pool:
        report = pool.verify(
            candidate,
            seed=seed,
            workloads=workloads or target.workloads,
            pairs=options.pairs,
            progress=lambda step: print(step, file=sys.stderr, flush=True),
        )
    if not report.passed:
        print(f"{options.kernel}: {report.outcome}\n{report.diagnostics}")
        return 1
    rows = rows_of(report)
    print(text_table(*closing_table(rows)))
    print(f"geometric mean over the fastest baseline: {format_speedup(report.speedup)}")
    if options.out:
        facts = machine_facts(device, threads=spec.threads)
        plain = {"facts": facts, "source": candidate.source, **asdict(report)}
        options.out.write_text(json.dumps(plain, indent=1, default=str) + "\n")
        print(f"raw samples: {options.out}")
    return 0


def _with_import(source: str) -> str:
    """A champion's file as it was judged: the loader imported, whose text the gate would refuse."""
    return _LOADER.sub(f"from {LOADER_MODULE} import load_cpp", source, count=1)


def _candidate(path: Path, seed: Candidate) -> Candidate:
    """The kernel to measure. A file's language is told by what it calls."""
    from dataclasses import replace

    from populations.store import FILE_NAME, Store

    if path.is_file():
        try:
            source = _with_import(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as text: {error}") from error
        found = [language for sign, language in SIGNS.items() if sign in source]
        return replace(seed, source=source, language=(found or ["python"])[0], note=path.name)
    if not (path / FILE_NAME).is_file():
        raise InputError(f"{path}: neither a kernel's file nor a run directory")
    from evo.outputs import run_data

    with Store.open(path, read_only=True) as store:
        best = run_data(store).best
    if best is None:
        raise InputError(f"{path}: this run has no champion yet")
    return best.candidate


if __name__ == "__main__":
    sys.exit(main())
