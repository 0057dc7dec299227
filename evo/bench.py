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
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evo.inline import LOADER_MODULE
from evo.tables import closing_table, format_speedup, text_table
from populations.errors import InputError

if TYPE_CHECKING:
    from fitness.report import FinalReport
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
    from evo.confinement import require_layers
    from evo.device import choose_device
    from evo.experiment import chosen_target, evaluation_spec, seed_candidates
    from evo.facts import machine_facts
    from evo.finalists import rows_of
    from fitness.pool import LocalPool

    config = load_config(options.experiment, options.set)
    device = choose_device(config.target.device, config.path)
    seed = next(iter(seed_candidates(config, device)), None)
    candidate = read_kernel(options.kernel)
    target = chosen_target(config, device)
    workloads = tuple(options.workloads.split(",")) if options.workloads else target.final_workloads
    if options.out and not options.out.parent.is_dir():
        raise InputError(f"--out {options.out}: no such folder {options.out.parent}")
    spec = evaluation_spec(config, device)
    with LocalPool(spec) as pool:
        require_layers(config, pool.layers)
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
    if roofline := report.details.get("roofline"):
        shares = ", ".join(f"{name} {floor['share']:.0%}" for name, floor in roofline.items())
        print(f"share of the roofline: {shares}")
    if options.out:
        facts = machine_facts(device, threads=spec.threads)
        write_report(options.out, report, candidate, {"facts": facts})
        print(f"raw samples: {options.out}")
    return 0


def write_report(
    path: Path, report: FinalReport, candidate: Candidate, about: Mapping[str, Any]
) -> None:
    """Write a report with the kernel's source and every raw sample as JSON, `about` in front."""
    plain = {**about, "source": candidate.source, **asdict(report)}
    path.write_text(json.dumps(plain, indent=1, default=str) + "\n", encoding="utf-8")


def read_kernel(path: Path) -> Candidate:
    """The kernel of a file, or the champion of a run directory.

    A file's language is told by what it calls.

    Raises:
        InputError: There is no such file, it is no text, or the run has no champion yet.
    """
    from populations.kernel import Candidate

    if path.is_file():
        try:
            source = _with_import(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as text: {error}") from error
        found = [language for sign, language in SIGNS.items() if sign in source]
        return Candidate(0, source, (found or ["python"])[0], note=path.name)
    from populations.store import FILE_NAME, Store

    if not (path / FILE_NAME).is_file():
        raise InputError(f"{path}: neither a kernel's file nor a run directory")
    from evo.outputs import run_data

    with Store.open(path, read_only=True) as store:
        best = run_data(store).best
    if best is None:
        raise InputError(f"{path}: this run has no champion yet")
    return best.candidate


def _with_import(source: str) -> str:
    """A champion's file as it was judged: the loader imported, whose text the gate would refuse."""
    return _LOADER.sub(f"from {LOADER_MODULE} import load_cpp", source, count=1)


if __name__ == "__main__":
    sys.exit(main())
