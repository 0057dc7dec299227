"""Verify a champion: in one session, against all baselines, the seed and itself."""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fitness import statistics, timing
from fitness.judge import Judge, Progress, timing_of
from fitness.process import CandidateProcess, Fault
from fitness.report import FinalReport, WorkloadReport
from populations.kernel import Candidate
from populations.outcome import Outcome, Speedup

SEED = "seed"
CONTROL = "control"


def verify(
    judge: Judge,
    candidate: Candidate,
    seed: Candidate | None,
    *,
    baselines: tuple[str, ...],
    progress_line: Callable[[str], None],
) -> FinalReport:
    """Check a candidate on every workload of the judge and time it against everything.

    Args:
        judge: A judge of its own, so that its secret seeds are fresh; its spec names the workloads
            and the number of pairs.
        candidate: The champion.
        seed: The kernel it descends from; timed where it is right. None: there is none to time.
        baselines: Names of the baselines.
        progress_line: Told one line per workload.
    """
    progress = Progress()
    session = _Session(judge, baselines)
    reports: list[WorkloadReport] = []
    try:
        with ExitStack() as stack:
            session.begin(stack, candidate, seed, progress)
            for workload in judge.bank.workloads:
                progress_line(workload)
                reports.append(session.measure(workload))
    except Fault as fault:
        progress.details.update(fault.details)
        return FinalReport(
            outcome=fault.outcome,
            diagnostics=fault.text,
            checks_passed=progress.checks_passed,
            checks_total=progress.checks_total,
            failed_baselines=session.failed,
            details={**progress.details, **machine(judge)},
        )
    seeds = [r.seed_speedup for r in reports if r.seed_speedup is not None]
    return FinalReport(
        outcome=Outcome.PASSED,
        checks_passed=progress.checks_passed,
        checks_total=progress.checks_total,
        workloads=tuple(reports),
        speedup=statistics.geometric_mean([r.fastest.speedup for r in reports]),
        seed_speedup=statistics.geometric_mean(seeds) if seeds else None,
        failed_baselines=session.failed,
        details={**progress.details, **machine(judge)},
    )


def machine(judge: Judge) -> dict[str, Any]:
    """Where it was measured, JSON-able."""
    spec = judge.spec
    facts: dict[str, Any] = {
        "device": spec.device,
        "threads": spec.threads,
        "tf32": spec.tf32,
        # A plain string: its own class would make the search process import torch.
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
    }
    if spec.device == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(spec.torch_device)
        facts["cuda"] = torch.version.cuda
    return facts


def _processor() -> str:
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


class _Session:
    """The processes of one verification."""

    def __init__(self, judge: Judge, baselines: tuple[str, ...]) -> None:
        self._judge = judge
        self._baselines = baselines
        self.failed: dict[str, dict[str, str]] = {}

    def begin(
        self, stack: ExitStack, candidate: Candidate, seed: Candidate | None, progress: Progress
    ) -> None:
        """Build, start and check the champion; start the others. Raises Fault."""
        judge = self._judge
        judge.build(candidate, progress)
        self._champion = stack.enter_context(judge.start(candidate))
        judge.check(self._champion, progress)
        self._control = stack.enter_context(judge.start(candidate))
        judge.check(self._control, Progress())
        self._seed: CandidateProcess | None = None
        if seed is not None:
            process = stack.enter_context(judge.start(seed))
            with suppress(Fault):
                judge.build(seed, Progress())
                dtype = judge.bank.case(*next(judge.bank.cases())).dtype
                process.construct(judge.bank.constants, dtype)
                self._seed = process

    def measure(self, workload: str) -> WorkloadReport:
        """Time everything on one workload. Raises Fault for the champion's faults alone."""
        judge = self._judge
        number = judge.bank.case(workload, 0).seed
        seed = self._right_seed(workload)
        names = self._working(workload, number)
        # The budget is for one pair of subjects.
        budget_s = judge.spec.timing_budget_s * (len(names) + 3) / 2
        spec = replace(judge.spec, timing_budget_s=budget_s, give_up_below=0)
        try:
            with judge.lease.exclusive(), ExitStack() as stack:
                subjects = [
                    stack.enter_context(self._champion.subject(workload)),
                    stack.enter_context(self._control.subject(workload, CONTROL)),
                ]
                if seed is not None:
                    subjects.append(stack.enter_context(seed.subject(workload, SEED)))
                subjects += stack.enter_context(judge.baselines.subjects(names, workload, number))
                rounds = timing.measure(subjects, spec, judge.rng)
        except timing.ClockError as error:
            raise Fault(Outcome.CHEATED, f"workload {workload!r}: {error}") from error
        return _report(rounds, workload, names)

    def _right_seed(self, workload: str) -> CandidateProcess | None:
        """The seed's process if it computes this workload; it keeps the inputs for timing."""
        if self._seed is None:
            return None
        case = self._judge.bank.case(workload, 0)
        try:
            with self._judge.lease.shared():
                right = self._judge.call(self._seed, case, keep=True).outcome is Outcome.PASSED
        except Fault:
            # Its process has ended, or is of no more use.
            self._seed = None
            return None
        return self._seed if right else None

    def _working(self, workload: str, number: int) -> list[str]:
        names = []
        for baseline in self._baselines:
            with self._judge.beside_timing():
                reason = self._judge.baselines.warm(baseline, workload, number)
            if reason:
                self.failed.setdefault(workload, {})[baseline] = reason
            else:
                names.append(baseline)
        return names


def _report(rounds: timing.Rounds, workload: str, baselines: list[str]) -> WorkloadReport:
    timings = sorted(
        (timing_of(rounds, workload, name) for name in baselines), key=lambda t: t.baseline_ms
    )
    seed: Speedup | None = None
    seed_speedup: Speedup | None = None
    if SEED in rounds.names:
        seed = statistics.speedup(rounds.log_ratios(SEED))
        seed_speedup = statistics.speedup(rounds.log_ratios(timings[0].baseline, SEED))
    return WorkloadReport(
        workload=workload,
        times_ms={name: rounds.median_ms(name) for name in rounds.names},
        timings=tuple(timings),
        seed=seed,
        seed_speedup=seed_speedup,
        control=statistics.speedup(rounds.log_ratios(CONTROL)),
        samples_ms={name: tuple(times) for name, times in rounds.times_ms.items()},
        facts=rounds.facts(),
    )
