"""Verify a champion: in one session, against all baselines, the seed and itself."""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import torch

from fitness import statistics, timing
from fitness.batches import LATE_LOOKS
from fitness.ceilings import processor_name
from fitness.clocks import ClockError
from fitness.contents import CheckedCall
from fitness.judge import Judge, Progress, timing_of
from fitness.process import CandidateProcess, Fault
from fitness.profile import own_share
from fitness.report import FinalReport, WorkloadReport
from fitness.rounds import Rounds
from fitness.spec import EvaluationSpec
from fitness.subject import Subject
from fitness.telemetry import Record, watched
from populations.kernel import Candidate
from populations.outcome import Outcome, Speedup

SEED = "seed"
CONTROL = "control"
# Timed calls per workload whose outputs are looked at in rounds, and how often, after the first.
CHECKED_CALLS = 8
CHECKED_SHARE = 0.3


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
            progress.details["own_share"] = session.own_shares()
        judge.hold_against_roofline([r.fastest for r in reports], progress)
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


def against_itself(judge: Judge, candidate: Candidate, workload: str) -> Rounds:
    """Time two fresh processes of one kernel against each other, as a kernel and a baseline are.

    What comes of it is the error of the whole measurement: the true ratio is 1.

    Args:
        judge: Its spec says how to time.
        candidate: A right kernel, built before; its outputs are not compared.
        workload: One of the judge's.

    Raises:
        Fault: The kernel fails.
    """
    session = _Session(judge, ())
    with ExitStack() as stack:
        session.begin_pair(stack, candidate)
        return session.rounds(workload, [], judge.spec)[0]


def machine(judge: Judge) -> dict[str, Any]:
    """Where it was measured, JSON-able."""
    spec = judge.spec
    facts: dict[str, Any] = {
        "device": spec.device,
        "threads": spec.threads,
        "tf32": spec.tf32,
        "cache": "warm" if spec.device == "cpu" else "cold",
        # Neither side of a pair is captured in a CUDA graph; a kernel may use one of its own.
        "graph": False,
        # A plain string: its own class would make the search process import torch.
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": processor_name(),
    }
    if spec.device == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(spec.torch_device)
        facts["cuda"] = torch.version.cuda
    return facts


class _Session:
    """The processes of one verification."""

    def __init__(self, judge: Judge, baselines: tuple[str, ...]) -> None:
        self._judge = judge
        self._baselines = baselines
        self._seed: CandidateProcess | None = None
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
        # It is to have gone through the same: where memory was used before, it is faster.
        judge.check(self._control, Progress())
        if seed is not None:
            process = stack.enter_context(judge.start(seed))
            with suppress(Fault):
                judge.build(seed, Progress())
                self._construct(process)
                self._seed = process

    def begin_pair(self, stack: ExitStack, candidate: Candidate) -> None:
        """Start two processes of one kernel. Raises Fault."""
        judge = self._judge
        with judge.lease.shared():
            self._champion = stack.enter_context(judge.start(candidate))
            self._control = stack.enter_context(judge.start(candidate))
        for process in (self._champion, self._control):
            self._construct(process)

    def own_shares(self) -> dict[str, Any]:
        """Per workload, the share of the time spent in the champion's own kernels.

        The last thing that its process is asked: under a profiler it may end.
        """
        bank, lease = self._judge.bank, self._judge.lease
        with lease.exclusive():
            return {w: own_share(self._champion, bank.case(w, 0)) for w in bank.workloads}

    def measure(self, workload: str) -> WorkloadReport:
        """Time everything on one workload. Raises Fault for the champion's faults alone."""
        judge = self._judge
        seed = self._right_seed(workload)
        names = self._working(workload, judge.contents.inputs(workload).seeds)
        # The budget is for one pair of subjects.
        budget_s = judge.spec.timing_budget_s * (len(names) + 3) / 2
        spec = replace(judge.spec, timing_budget_s=budget_s, give_up_below=0)
        rounds, record = self.rounds(workload, names, spec, seed)
        return _report(rounds, workload, names, {"telemetry": record.facts()})

    def rounds(
        self,
        workload: str,
        names: list[str],
        spec: EvaluationSpec,
        seed: CandidateProcess | None = None,
    ) -> tuple[Rounds, Record]:
        """Time what was begun, with these baselines. Raises Fault for the champion's faults."""
        judge = self._judge
        inputs, case = judge.contents.inputs(workload), judge.bank.case(workload, 0)
        checked = judge.contents.checkpoints(workload, CHECKED_CALLS + LATE_LOOKS)
        try:
            with judge.lease.exclusive(), ExitStack() as stack:

                def enter(process: CandidateProcess, name: str, calls: list[CheckedCall]) -> None:
                    subject = process.subject(
                        inputs, case, judge.rng, name=name, checked=calls, share=CHECKED_SHARE
                    )
                    subjects.append(stack.enter_context(subject))

                subjects: list[Subject] = []
                enter(self._champion, "candidate", checked)
                enter(self._control, CONTROL, [])
                if seed is not None:
                    enter(seed, SEED, [])
                theirs = judge.baselines.subjects(names, workload, inputs.seeds, judge.rng)
                subjects += stack.enter_context(theirs)
                record = stack.enter_context(watched(spec.torch_device, spec.threads))
                return timing.measure(timing.probed(subjects, spec), spec, judge.rng), record
        except ClockError as error:
            raise Fault(Outcome.CHEATED, f"workload {workload!r}: {error}") from error

    def _construct(self, process: CandidateProcess) -> None:
        """Construct a model that is timed beside the champion. Raises Fault."""
        bank = self._judge.bank
        with self._judge.lease.shared():
            process.construct(bank.constants, bank.case(*next(iter(bank.cases()))).dtype)

    def _right_seed(self, workload: str) -> CandidateProcess | None:
        """The seed's process if it computes this workload; or None."""
        if self._seed is None:
            return None
        case = self._judge.bank.case(workload, 0)
        try:
            with self._judge.lease.shared():
                right = self._judge.call(self._seed, case).outcome is Outcome.PASSED
        except Fault:
            # Its process has ended, or is of no more use.
            self._seed = None
            return None
        return self._seed if right else None

    def _working(self, workload: str, seeds: tuple[int, ...]) -> list[str]:
        names = []
        for baseline in self._baselines:
            with self._judge.beside_timing():
                reason = self._judge.baselines.warm(baseline, workload, seeds)
            if reason:
                self.failed.setdefault(workload, {})[baseline] = reason
            else:
                names.append(baseline)
        return names


def _report(
    rounds: Rounds, workload: str, baselines: list[str], facts: dict[str, Any]
) -> WorkloadReport:
    timings = sorted(
        (timing_of(rounds, workload, name) for name in baselines), key=lambda t: t.baseline_ms
    )
    seed: Speedup | None = None
    seed_speedup: Speedup | None = None
    if SEED in rounds.names:
        seed = rounds.speedup(SEED)
        seed_speedup = rounds.speedup(timings[0].baseline, SEED)
    return WorkloadReport(
        workload=workload,
        times_ms={name: rounds.median_ms(name) for name in rounds.names},
        timings=tuple(timings),
        seed=seed,
        seed_speedup=seed_speedup,
        control=rounds.speedup(CONTROL),
        samples_ms={name: tuple(times) for name, times in rounds.times_ms.items()},
        facts={**rounds.facts(), **facts},
    )
