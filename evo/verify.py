"""`evo verify CHAMPION --problem P`: is a kernel right, and faster? For any file, from anywhere.

CHAMPION is a Python module with `ModelNew` in KernelBench's form (plain Python, C++ in strings,
Triton, or a champion that evo wrote), or a run directory. P is any KernelBench problem file. The
kernel is judged in fresh processes with secret seeds, more questions and longer timing than in a
search, against every baseline and against a second process of itself. Nothing that the file says
about itself is believed.

Exit status: 0 VERIFIED, 1 any other verdict, 2 bad input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evo.tables import (
    NOTHING,
    baseline_names,
    format_count,
    format_interval,
    format_ms,
    format_speedup,
    one_line,
    text_table,
)
from populations.errors import DeviceError, InputError
from populations.outcome import Outcome, Speedup

if TYPE_CHECKING:
    from evo.device import Device
    from fitness.problem import ProblemFacts
    from fitness.report import FinalReport
    from fitness.spec import EvaluationSpec

VERIFIED = "VERIFIED"
NOT_FASTER = "NOT FASTER"
# How `fitness.questions` begins what it tells of an answer.
PASSED = "passed"
REFUSED = "refused"
# What a kernel that did not pass is called; a crash, a time-out and a compiler's refusal are one.
WORDS = {
    Outcome.REJECTED: "REFUSED",
    Outcome.COMPILE_ERROR: "FAILED",
    Outcome.RUNTIME_ERROR: "FAILED",
    Outcome.TIMEOUT: "FAILED",
    Outcome.WRONG_SHAPE: "WRONG",
    Outcome.WRONG_DTYPE: "WRONG",
    Outcome.WRONG_VALUES: "WRONG",
    Outcome.CHEATED: "CHEATED",
}
_LABEL_WIDTH = 12


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of a kernel.

    Attributes:
        word: VERIFIED, NOT FASTER, WRONG, CHEATED, REFUSED or FAILED.
        reason: Why, one or several lines.
        remarks: What else a reader should know of it, one line each.
    """

    word: str
    reason: str
    remarks: tuple[str, ...] = ()

    @property
    def exit_status(self) -> int:
        """0 for a kernel that is right and faster, 1 for any other."""
        return 0 if self.word == VERIFIED else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `evo verify`; returns its exit status."""
    options = _parser().parse_args(arguments)
    from evo.signals import guarded

    return guarded(lambda: verify(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evo verify", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("champion", type=Path, help="a module with ModelNew, or a run directory")
    parser.add_argument("--problem", type=Path, required=True, help="a KernelBench problem file")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--threads", type=int, default=0, help="CPU threads; 0 (default): all cores"
    )
    parser.add_argument("--workloads", help="names, separated by commas; default: all")
    parser.add_argument("--baselines", help="names, separated by commas; default: all")
    parser.add_argument(
        "--pairs", type=int, default=100, help="timed rounds per workload, at least"
    )
    parser.add_argument("--tf32", action="store_true", help="let both sides compute in TF32")
    parser.add_argument(
        "--require",
        default="",
        metavar="LAYERS",
        help="layers of confinement, separated by commas, that must be there; see evo doctor",
    )
    parser.add_argument(
        "--allow-degenerate", action="store_true", help="also for a problem that zeros would solve"
    )
    parser.add_argument("--json", type=Path, help="file for the verdict and the raw samples")
    return parser


def verify(options: argparse.Namespace) -> int:
    """Judge, print the verdict with its reasons, write the file."""
    from evo.bench import read_kernel, write_report
    from evo.confinement import layer_names, refuse_less
    from evo.device import choose_device, missing_for_cuda, threads
    from evo.facts import machine_facts
    from fitness.pool import LocalPool
    from fitness.problem import describe

    candidate = read_kernel(options.champion)
    _defines_model(options.champion, candidate.source)
    if options.json and not options.json.parent.is_dir():
        raise InputError(f"--json {options.json}: no such folder {options.json.parent}")
    for name, least in (("threads", 0), ("pairs", 10)):
        if getattr(options, name) < least:
            raise InputError(f"--{name} must be at least {least}")
    required = layer_names(options.require, "--require")
    if options.device == "cuda" and (missing := missing_for_cuda()):
        raise DeviceError(f"--device cuda: {missing}")
    device = choose_device(options.device, Path("--device"))
    problem = describe(options.problem)
    spec = _spec(options, problem, device, threads(options.threads))
    with LocalPool(spec) as pool:
        refuse_less(required, pool.layers, "--require")
        findings = pool.examine_problem()
        report = pool.verify(
            candidate,
            pairs=options.pairs,
            workloads=spec.workloads,
            seeds=spec.seeds,
            timing_budget_s=spec.timing_budget_s,
            progress=lambda step: print(step, file=sys.stderr, flush=True),
        )
        layers = pool.layers()
    verdict = verdict_of(report, [*findings.refused, *findings.notes])
    for line in lines(verdict, report, problem, layers):
        print(line)
    if options.json:
        facts = machine_facts(device, threads=spec.threads)
        head = {"verdict": verdict.word, "reason": verdict.reason, "remarks": verdict.remarks}
        confinement = {name: str(layer) for name, layer in layers.items()}
        about = {**head, "facts": facts, "confinement": confinement}
        write_report(options.json, report, candidate, about)
        print(f"{'raw samples':{_LABEL_WIDTH}}{options.json}")
    return verdict.exit_status


def _spec(
    options: argparse.Namespace, problem: ProblemFacts, device: Device, threads: int
) -> EvaluationSpec:
    """How to judge. Raises ProblemError for a name that stands for nothing."""
    from evo.experiment import cache_dir
    from evo.strict import nearest
    from fitness.spec import EvaluationSpec

    chosen: dict[str, tuple[str, ...]] = {}
    for kind, known in (
        ("workloads", [w.name for w in problem.workloads]),
        ("baselines", list(problem.baselines)),
    ):
        given = getattr(options, kind)
        chosen[kind] = tuple(given.split(",")) if given else ()
        for name in chosen[kind]:
            if name not in known:
                hint = nearest(name, known)
                raise InputError(f'--{kind}: {options.problem} has no "{name}"{hint}')
    return EvaluationSpec(
        problem=options.problem,
        cache_dir=cache_dir(),
        device=device,
        threads=threads,
        workloads=chosen["workloads"],
        baselines=chosen["baselines"],
        seeds=3,
        pairs=options.pairs,
        timing_budget_s=4.0,
        min_effect=0.005,
        # A kernel from elsewhere may compile for long when it is first called.
        build_limit_s=300.0,
        run_limit_s=60.0,
        tf32=options.tf32,
        allow_degenerate=options.allow_degenerate,
    )


def _defines_model(path: Path, source: str) -> None:
    """Raise InputError for a file that is no candidate at all: it is not worth a judgement."""
    import ast

    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f"{path}:{line}" if line else str(path)
        raise InputError(f"{where}: {getattr(error, 'msg', error)}") from error
    names = {n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef | ast.FunctionDef)}
    names |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    names |= {n.asname or n.name for n in ast.walk(tree) if isinstance(n, ast.alias)}
    if "ModelNew" not in names:
        raise InputError(f"{path}: there is no ModelNew; an answer to a problem defines that class")


def verdict_of(report: FinalReport, weaknesses: Sequence[str] = ()) -> Verdict:
    """The word for a report, with its reason; weaknesses of the problem are among the remarks."""
    remarks = tuple(f"the problem: {text}" for text in weaknesses)
    if report.speedup is None:
        return Verdict(WORDS[report.outcome], report.diagnostics or str(report.outcome), remarks)
    from fitness.statistics import geometric_mean

    itself = geometric_mean([r.control for r in report.workloads])
    # Two processes of one kernel differ by this much: less is not a difference between kernels.
    doubt = max(itself.value, 1 / itself.value)
    shown = f"{format_speedup(report.speedup)} over the fastest baseline"
    remarks += tuple(_remarks(report))
    if report.speedup.low > doubt:
        return Verdict(VERIFIED, f"right, and {shown}", remarks)
    if report.speedup.low > 1:
        shown += f", within what the kernel shows against itself ({format_speedup(itself)})"
    return Verdict(NOT_FASTER, f"right, but {shown}", remarks)


def _remarks(report: FinalReport) -> Iterator[str]:
    from fitness.telemetry import remarks

    for entry in report.workloads:
        fastest = entry.fastest
        if fastest.speedup.high < 1:
            speedup = format_speedup(fastest.speedup)
            yield f"{entry.workload}: slower than {fastest.baseline}, {speedup}"
        if not _holds_one(entry.control):
            shown = format_speedup(entry.control)
            yield f"{entry.workload}: against itself {shown}, so much may be chance here"
        for remark in remarks(entry.facts.get("telemetry", {})):
            yield f"{entry.workload}: {remark}"
    for workload, failed in report.failed_baselines.items():
        for baseline, reason in failed.items():
            yield f"{workload}: {baseline} was not measured: {one_line(reason, 100)}"
    for question, answers in report.details.get("questions", {}).items():
        for name, answer in answers.items():
            if str(answer).startswith(REFUSED):
                yield f"{question}: {name} is not supported, {one_line(str(answer), 120)}"
    if report.details.get("state") == "seeded":
        yield "its parameters have other names than the reference's: both were seeded alike instead"
    for finding in report.details.get("policy", ()):
        yield one_line(str(finding), 160)


def _holds_one(interval: Speedup) -> bool:
    return interval.low <= 1 <= interval.high


def lines(
    verdict: Verdict,
    report: FinalReport,
    problem: ProblemFacts,
    layers: Mapping[str, Any],
) -> Iterator[str]:
    """What is printed: the verdict, the table, what was checked, how it was timed and confined."""
    yield from _labelled("verdict", f"{verdict.word}: {verdict.reason}".splitlines())
    if report.workloads:
        yield ""
        yield text_table(*table(report))
        yield ""
    yield from _labelled("remarks", verdict.remarks)
    yield from _labelled("checked", checked_lines(report))
    if report.workloads:
        yield from _labelled("timed", list(_timed_lines(report, problem)))
        yield from _labelled("device", list(_device_lines(report)))
    on = [str(layer) for layer in layers.values() if _is_on(layer)]
    off = [name for name, layer in layers.items() if not _is_on(layer)]
    missing = [f"not: {', '.join(off)}"] if off else []
    yield from _labelled("confined", [", ".join(on) or "by nothing", *missing])


def table(report: FinalReport) -> tuple[list[str], list[list[str]]]:
    """The table of a verification: times, speedup, control and share of the roofline."""
    from evo.finalists import rows_of

    rows = rows_of(report)
    names = baseline_names(rows)
    roofline = report.details.get("roofline", {})
    header = ["workload (ms)", "kernel", *names, "speedup", "over", "itself", "roofline"]
    body = []
    for row, entry in zip(rows, report.workloads, strict=True):
        floor = roofline.get(row.workload)
        body.append(
            [
                row.workload,
                format_ms(row.champion_ms),
                *(format_ms(row.baselines_ms.get(name)) for name in names),
                format_speedup(row.speedup),
                row.baseline or NOTHING,
                format_interval(entry.control),
                f"{floor['share']:.0%}" if floor and floor["share"] else NOTHING,
            ]
        )
    return header, body


def checked_lines(report: FinalReport) -> list[str]:
    """What correctness was asked, from the report's details."""
    details = report.details
    total = format_count(report.checks_total, "question")
    found = [f"{report.checks_passed} of {total} answered rightly, on secret seeds"]
    if golden := details.get("golden"):
        found.append(f"against the reference in {golden}, the error allowed from its own error")
    for question, answers in details.get("questions", {}).items():
        found += _answers(question, answers)
    return found


def _answers(question: str, answers: Mapping[str, Any]) -> Iterator[str]:
    """What came of one kind of question: what passed on one line, all else on lines of its own."""
    if passed := [name for name, answer in answers.items() if answer == PASSED]:
        yield f"{question}: {', '.join(passed)}"
    for name, answer in answers.items():
        if isinstance(answer, Mapping):
            text = ", ".join(f"{value:.3g} ({key})" for key, value in answer.items())
            yield f"{question}: {name} {text}"
        elif answer != PASSED:
            yield f"{question}: {name}: {one_line(str(answer), 160)}"


def _timed_lines(report: FinalReport, problem: ProblemFacts) -> Iterator[str]:
    details = report.details
    kept = [entry.facts["kept"] for entry in report.workloads]
    count = f"{min(kept)}" if min(kept) == max(kept) else f"{min(kept)} to {max(kept)}"
    draws = max(entry.facts.get("draws", 1) for entry in report.workloads)
    shared = f", in {draws} draws of other processes" if draws > 1 else ""
    yield f"{count} rounds per workload{shared}, each call on other contents, some outputs checked"
    cache = {
        "warm": "caches warm: inputs were written right before each call",
        "cold": "second-level cache flushed before each call",
    }[details["cache"]]
    yield f"{cache}; {'captured in a CUDA graph' if details['graph'] else 'no CUDA graph'}"
    timed = {entry.workload for entry in report.workloads}
    dtypes = sorted({w.dtype or "mixed dtypes" for w in problem.workloads if w.name in timed})
    tf32 = "allowed" if details["tf32"] else "off"
    yield f"in {', '.join(dtypes)}; TF32 {tf32} for the reference, the baselines and the kernel"
    for workload, share in details.get("own_share", {}).items():
        text = share.get("reason", "")
        if share["own_share"] is not None:
            text = f"{share['own_share']:.0%} of the time in the kernel's own code"
        yield f"{workload}: {text}"


def _device_lines(report: FinalReport) -> Iterator[str]:
    from fitness.telemetry import summary

    details = report.details
    threads = (
        f", {format_count(details['threads'], 'thread')}" if details["device"] == "cpu" else ""
    )
    name = details.get("gpu") or details["processor"]
    yield f"{name}{threads}, torch {details['torch']}, python {details['python']}"
    for entry in report.workloads:
        if telemetry := entry.facts.get("telemetry"):
            yield f"{entry.workload}: {summary(telemetry)}"


def _is_on(layer: Any) -> bool:
    return bool(getattr(layer, "on", layer is True))


def _labelled(label: str, texts: Sequence[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        yield f"{label if number == 0 else '':{_LABEL_WIDTH}}{text}"


if __name__ == "__main__":
    sys.exit(main())
