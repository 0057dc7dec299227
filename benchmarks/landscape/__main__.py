"""`python -m benchmarks.landscape measure PLAN...`: measure landscapes, or pack what was measured.

variants PLAN... --out FOLDER   the variants' sources, made where LibCST is installed
measure PLAN... --out FOLDER    every point, appended to FOLDER/PLAN.jsonl; goes on where it stopped
measure PLAN... --again 3 --best 100    the best points again, by new processes
pack PLAN FILE.jsonl --out FILE.npz  the table that is shipped
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import random
import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.landscape.lattice import Plan, Point, Variant, keep, kept, points, variants
from benchmarks.landscape.plans import PLANS
from benchmarks.landscape.records import Record, Records, pooled, read
from fitness.statistics import median
from populations.errors import EvoError, WorkerError

_PROGRESS_S = 5.0
# So many points without one that passes, and it is given up.
_HOPELESS = 40
_SAME = ("digest", "workload", "target")


@dataclass(frozen=True, slots=True)
class _Job:
    """A plan with its points, those of variants that edits made."""

    plan: Plan
    variants: Sequence[Variant]
    points: Sequence[Point]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except EvoError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.landscape", description=__doc__)
    commands = parser.add_subparsers(required=True)
    measure = commands.add_parser("measure", help="measure every point of some plans")
    measure.add_argument("plans", nargs="+", choices=list(PLANS))
    measure.add_argument("--out", type=Path, default=Path("runs/landscapes"), help="folder")
    measure.add_argument("--limit-s", type=float, default=3600.0, help="seconds in all")
    measure.add_argument("--workers", type=int, default=0, help="processes that build")
    measure.add_argument("--pairs", type=int, default=12, help="rounds a point")
    measure.add_argument("--seed", type=int, default=1, help="decides order and inputs")
    measure.add_argument("--most", type=int, default=0, help="points of each plan at most")
    measure.add_argument(
        "--again", type=int, default=0, help="measure points that passed so many times again"
    )
    measure.add_argument("--best", type=int, default=0, help="with --again: the best so many alone")
    measure.add_argument("--workload", default="", help="another one of the problem's")
    measure.add_argument(
        "--interpret", action="store_true", help="a rehearsal on the CPU, in Triton's interpreter"
    )
    measure.add_argument("--variants", type=Path, help="folder that `variants` wrote")
    measure.set_defaults(run=_measure)
    listed = commands.add_parser("variants", help="make the variants' sources ahead")
    listed.add_argument("plans", nargs="+", choices=list(PLANS))
    listed.add_argument("--out", type=Path, required=True, help="folder")
    listed.set_defaults(run=_variants)
    packed = commands.add_parser("pack", help="compress results into the table that is shipped")
    packed.add_argument("plan", choices=list(PLANS))
    packed.add_argument("file", type=Path, help="what `measure` wrote")
    packed.add_argument("--out", type=Path, required=True, help="the table")
    packed.set_defaults(run=_pack)
    return parser


def _pack(options: argparse.Namespace) -> int:
    from benchmarks.landscape.pack import pack

    plan = PLANS[options.plan]
    count = pack(plan, variants(plan), options.file, options.out)
    print(f"{options.out}: {count} points, {options.out.stat().st_size} bytes")
    return 0


def _variants(options: argparse.Namespace) -> int:
    for name in options.plans:
        keep(variants(PLANS[name]), options.out / f"{name}.json")
    return 0


def _measure(options: argparse.Namespace) -> int:
    began = time.monotonic()
    deadline = began + options.limit_s
    jobs = [_job(_plan(name, options), options) for name in dict.fromkeys(options.plans)]
    groups = _groups(jobs)
    for number, group in enumerate(groups):
        left_s = deadline - time.monotonic()
        mine, later = len(_points(group)), sum(len(_points(g)) for g in groups[number + 1 :])
        if left_s > 0:
            share_s = left_s * mine / (mine + later)
            _measure_group(group, options, time.monotonic() + share_s)
    print(f"{time.monotonic() - began:.0f} s in all")
    return 0


def _plan(name: str, options: argparse.Namespace) -> Plan:
    plan = PLANS[name]
    return replace(plan, workload=options.workload) if options.workload else plan


def _job(plan: Plan, options: argparse.Namespace) -> _Job:
    found = kept(options.variants / f"{plan.name}.json") if options.variants else variants(plan)
    every = [point for variant in found for point in points(plan, variant)]
    # What slows the device down for a while is then not one variant's.
    random.Random(f"{options.seed}:{plan.name}").shuffle(every)
    every = every[: options.most or None]
    print(f"{plan.name}: {len(found)} variants, {len(every)} points", flush=True)
    return _Job(plan, found, every)


def _groups(jobs: Iterable[_Job]) -> list[list[_Job]]:
    """Jobs that share their inputs and baselines are measured by the same processes."""
    groups: dict[tuple[object, ...], list[_Job]] = {}
    for job in jobs:
        plan = job.plan
        groups.setdefault((plan.problem, plan.workload, plan.baselines), []).append(job)
    return list(groups.values())


def _points(jobs: Iterable[_Job]) -> list[Point]:
    return [point for job in jobs for point in job.points]


def _measure_group(jobs: Sequence[_Job], options: argparse.Namespace, deadline: float) -> None:
    from benchmarks.landscape.batch import Batch

    plan = jobs[0].plan
    spec = _spec(plan, options)
    rng = random.Random(f"{options.seed}:{plan.problem.name}")
    with ExitStack() as stack:
        headers = [_header(job, spec, options) for job in jobs]
        files = [
            stack.enter_context(Records(options.out / f"{job.plan.name}.jsonl", header, _SAME))
            for job, header in zip(jobs, headers, strict=True)
        ]
        owner = {p.digest: file for job, file in zip(jobs, files, strict=True) for p in job.points}
        every = {p.digest: p for job in jobs for p in job.points}
        left = [p for digest, p in every.items() if digest not in owner[digest].done]
        if options.again:
            left = _again(jobs, options)
            every = {str(number): point for number, point in enumerate(left)}
        progress = _Progress(len(every), len(every) - len(left))
        if not left:
            progress.say("nothing is left to measure")
            return
        workers = options.workers or max(1, (os.cpu_count() or 2) - 2)
        batch = stack.enter_context(
            Batch(spec, workers=min(workers, len(left)), rng=rng, progress=progress.say)
        )
        confinement = ", ".join(str(layer) for layer in batch.layers().values() if layer.on)
        progress.say(f"{workers} processes, confined by {confinement}")
        noted = False
        for record in batch.points(left, deadline):
            if not noted:
                noted = True
                for file in files:
                    file.note({"baselines_ms": _baselines(batch), "confinement": confinement})
                progress.say(f"baselines {_baselines(batch)}")
            owner[record.digest].add(record)
            progress.add(record)
            progress.require_some()
        for file in files:
            file.note({"clocks_after": _clocks(spec.device)})
        progress.say("done" if progress.done == len(every) else "time is up")


def _again(jobs: Sequence[_Job], options: argparse.Namespace) -> list[Point]:
    """The best points of each plan, each as often as it is to be measured again, in any order."""
    found: list[Point] = []
    for job in jobs:
        _, records = read(options.out / f"{job.plan.name}.jsonl")
        ranked = sorted(pooled(records), key=lambda r: -median(r.log_ratios or [-math.inf]))
        best = {record.digest for record in ranked[: options.best or None] if record.log_ratios}
        found += [point for point in job.points if point.digest in best] * options.again
    random.Random(f"{options.seed}:again").shuffle(found)
    return found


def _baselines(batch: Any) -> dict[str, float]:
    table = batch.table
    return dict(next(iter(table.times_ms.values()))) if table is not None else {}


def _spec(plan: Plan, options: argparse.Namespace) -> Any:
    from evo.experiment import cache_dir
    from fitness.spec import EvaluationSpec

    spec = EvaluationSpec(
        problem=plan.problem,
        cache_dir=cache_dir(),
        device=plan.device,
        workloads=(plan.workload,),
        baselines=plan.baselines,
        pairs=options.pairs,
        # Every point has all its rounds, however slow, and no more of them; on the CPU, where
        # rounds are repeated that neighbours disturb, as many as the time allows.
        timing_budget_s=0.4 if plan.device == "cpu" else 5.0,
        min_effect=10.0,
        give_up_below=0.0,
        memory_bytes=16 << 30,
        processes=1024,
    )
    if options.interpret:
        spec = replace(spec, device="cpu", interpret_triton=True, baselines=("eager",))
    return spec


def _header(job: _Job, spec: Any, options: argparse.Namespace) -> dict[str, Any]:
    from evo.facts import machine_facts

    plan = job.plan
    text = plan.problem.read_bytes()
    return {
        "landscape": plan.name,
        "digest": plan.digest(job.variants),
        "problem": plan.problem.name,
        "problem_digest": hashlib.sha256(text).hexdigest()[:16],
        "workload": plan.workload,
        "target": spec.device + (", interpreted" if spec.interpret_triton else ""),
        "points": len(job.points),
        "pairs": options.pairs,
        "seed": options.seed,
        "command": shlex.join(["python", "-m", "benchmarks.landscape", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine_facts(spec.device, threads=spec.threads),
        "clocks_before": _clocks(spec.device),
    }


def _clocks(device: str) -> dict[str, str]:
    from evo.facts import nvidia_query

    if device == "cpu":
        return {}
    keys = ("clocks.sm", "clocks.mem", "temperature.gpu", "power.draw")
    found = nvidia_query(keys)
    return dict(zip(keys, found[0], strict=False)) if found else {}


class _Progress:
    """A line every few seconds."""

    def __init__(self, total: int, done: int) -> None:
        self.done = done
        self._total = total
        self._before = done
        self._began = self._told = time.monotonic()
        self._first: float | None = None
        self._outcomes: dict[str, int] = {}
        self._best: Record | None = None
        self._device_s = 0.0

    def say(self, line: str) -> None:
        """Print a line with the time."""
        print(f"{time.monotonic() - self._began:6.1f} s  {line}", flush=True)

    def add(self, record: Record) -> None:
        """Count a point; says how far it has come now and then."""
        self.done += 1
        now = time.monotonic()
        self._first = self._first or now
        if record.text and record.outcome not in self._outcomes:
            self.say(f"{record.outcome}, variant {record.variant}, {record.values}: {record.text}")
        self._outcomes[record.outcome] = self._outcomes.get(record.outcome, 0) + 1
        self._device_s += record.device_s
        if record.candidate_ms and (
            self._best is None or record.candidate_ms < self._best.candidate_ms
        ):
            self._best = record
        if now - self._told < _PROGRESS_S and self.done < self._total:
            return
        self._told = now
        rate = (self.done - self._before) / max(now - self._first, 1e-3)
        best = self._best
        shown = (
            f"{best.baseline_ms / best.candidate_ms:.2f}x {best.candidate_ms:.4f} ms"
            if best
            else "-"
        )
        self.say(
            f"{self.done}/{self._total}  {rate:.1f}/s  best {shown}  "
            f"device busy {self._device_s / max(now - self._first, 1e-3):.0%}  "
            + "  ".join(f"{k} {v}" for k, v in sorted(self._outcomes.items()))
        )

    def require_some(self) -> None:
        """Raise WorkerError when nothing passes: it is not the points that are wrong then."""
        if not self._outcomes.get("passed") and sum(self._outcomes.values()) >= _HOPELESS:
            raise WorkerError(f"none of {_HOPELESS} points passed: {self._outcomes}")


if __name__ == "__main__":
    sys.exit(main())
