"""Verify a champion: in one session, against all baselines, the seed and itself.

A process may be slower than its twin from its beginning to its end: on one day one in sixteen was,
by 7%, and no number of rounds shows it. So on the CPU everything is timed in several draws, each
with other processes on every side, and what the draws differ by is in the interval.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from typing import Any

import torch

from fitness import busy, statistics, timing
from fitness.batches import LATE_LOOKS
from fitness.busy import Caller
from fitness.ceilings import processor_name
from fitness.clocks import ClockError
from fitness.contents import CheckedCall
from fitness.judge import Judge, Progress, timing_of
from fitness.process import CandidateProcess, Fault
from fitness.profile import own_share
from fitness.report import FinalReport, WorkloadReport
from fitness.rounds import Draws, Rounds
from fitness.spec import EvaluationSpec
from fitness.subject import Subject
from fitness.telemetry import Record, watched
from fitness.witness import Witness
from populations.kernel import Candidate
from populations.outcome import Outcome, Speedup

SEED = "seed"
CONTROL = "control"
# Timed calls per workload whose outputs are looked at in rounds, and how often, after the first.
CHECKED_CALLS = 8
CHECKED_SHARE = 0.3
# Where processes differ by luck: draws at most, and rounds of one at least.
_MOST_DRAWS = 5
_ROUNDS_OF_A_DRAW = 12
# What compiling baselines for further draws may take; after that they stay as they are.
_COMPILE_AGAIN_S = 10.0


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
            measured: dict[str, list[tuple[Rounds, Record]]] = {}
            for workload in judge.bank.workloads:
                progress_line(workload)
                measured[workload] = [session.measure(workload)]
            for _ in range(draws(judge.spec) - 1):
                with ExitStack() as fresh:
                    session.draw(fresh, candidate, seed)
                    for workload, found in measured.items():
                        found.append(session.measure(workload))
            progress.details["own_share"] = session.own_shares()
        session.conclude()
        reports += [_report(w, found, session.witnessed(w)) for w, found in measured.items()]
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


def draws(spec: EvaluationSpec) -> int:
    """In how many parts the rounds of a verification are timed, each with other processes."""
    if spec.device != "cpu" or spec.interpret_triton:
        return 1
    return max(min(spec.pairs // _ROUNDS_OF_A_DRAW, _MOST_DRAWS), 1)


def against_itself(judge: Judge, candidate: Candidate, workload: str) -> Draws:
    """Time fresh processes of one kernel against each other, as `verify` times it and the others.

    What comes of it is the error of the whole measurement: the true ratio is 1.

    Args:
        judge: Its spec says how to time.
        candidate: A right kernel, built before; its outputs are not compared.
        workload: One of the judge's.

    Raises:
        Fault: The kernel fails.
    """
    session, found = _Session(judge, ()), []
    for _ in range(draws(judge.spec)):
        with ExitStack() as stack:
            session.begin_pair(stack, candidate)
            found.append(session.rounds(workload, [], judge.spec.timing_budget_s)[0])
    return Draws(found)


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
        self._client = judge.baselines
        # Holds a further process of baselines, if there is one.
        self._further = ExitStack()
        self._compiled_s = 0.0
        self._seed: CandidateProcess | None = None
        cuda = judge.spec.device == "cuda"
        self._witness = Witness(judge.spec, judge.rng) if cuda else None
        self.failed: dict[str, dict[str, str]] = {}

    def begin(
        self, stack: ExitStack, candidate: Candidate, seed: Candidate | None, progress: Progress
    ) -> None:
        """Build, start and check the champion; start the others. Raises Fault."""
        judge = self._judge
        stack.enter_context(self._further)
        judge.build(candidate, progress)
        self._first = self._champion = stack.enter_context(judge.runners.start(candidate))
        judge.check(self._champion, progress)
        self._control = stack.enter_context(judge.runners.start(candidate))
        # It is to have gone through the same: where memory was used before, it is faster.
        judge.check(self._control, Progress())
        if seed is not None:
            with suppress(Fault):
                judge.build(seed, Progress())
            self._begin_seed(stack, seed)

    def draw(self, stack: ExitStack, candidate: Candidate, seed: Candidate | None) -> None:
        """Start everything once more, in place of what was there. Raises Fault."""
        judge = self._judge
        if self._compiled_s < _COMPILE_AGAIN_S:
            self._further.close()
            server = self._further.enter_context(judge.fresh_baselines())
            self._client = self._further.enter_context(closing(server.client()))
        self.begin_pair(stack, candidate)
        # All sides are to have used memory before; and who was right once must be so again.
        for process in (self._champion, self._control):
            for workload in judge.bank.workloads:
                with judge.lease.shared():
                    verdict = judge.call(process, judge.bank.case(workload, 0))
                if verdict.outcome is not Outcome.PASSED:
                    text = f"right at first, wrong in a further process: {verdict.text}"
                    raise Fault(verdict.outcome, text, verdict.details)
        if seed is not None and self._seed is not None:
            self._begin_seed(stack, seed)

    def begin_pair(self, stack: ExitStack, candidate: Candidate) -> None:
        """Start two processes of one kernel. Raises Fault."""
        judge = self._judge
        with judge.lease.shared():
            self._champion = stack.enter_context(judge.runners.start(candidate))
            self._control = stack.enter_context(judge.runners.start(candidate))
        for process in (self._champion, self._control):
            self._construct(process)

    def _begin_seed(self, stack: ExitStack, seed: Candidate) -> None:
        process = stack.enter_context(self._judge.runners.start(seed))
        self._seed = None
        with suppress(Fault):
            self._construct(process)
            self._seed = process

    def own_shares(self) -> dict[str, Any]:
        """Per workload, the share of the time spent in the champion's own kernels.

        The last thing that its first process is asked: under a profiler it may end.
        """
        bank, lease = self._judge.bank, self._judge.lease
        with lease.exclusive():
            return {w: own_share(self._first, bank.case(w, 0)) for w in bank.workloads}

    def conclude(self) -> None:
        """Hold the device's own word against the champion, now that its processes have ended.

        Raises Fault.
        """
        if self._witness is not None:
            self._witness.conclude(self._alone)

    def witnessed(self, workload: str) -> dict[str, Any]:
        """What the device itself said on a workload, JSON-able; empty on the CPU."""
        return {"busy": self._witness.facts.get(workload)} if self._witness else {}

    @contextmanager
    def _alone(self, workload: str, baseline: str) -> Iterator[Caller]:
        judge = self._judge
        seeds = judge.contents.inputs(workload).seeds
        with (
            judge.lease.exclusive(),
            self._client.subjects([baseline], workload, seeds, judge.rng) as (ours,),
        ):
            yield ours

    def measure(self, workload: str) -> tuple[Rounds, Record]:
        """One draw of everything on one workload. Raises Fault for the champion's faults alone."""
        seed = self._right_seed(workload)
        names = self._working(workload, self._judge.contents.inputs(workload).seeds)
        # The budget is for one pair of subjects.
        budget_s = self._judge.spec.timing_budget_s * (len(names) + 3) / 2
        return self.rounds(workload, names, budget_s, seed)

    def rounds(
        self,
        workload: str,
        names: list[str],
        budget_s: float,
        seed: CandidateProcess | None = None,
    ) -> tuple[Rounds, Record]:
        """Time what was begun, with these baselines. Raises Fault for the champion's faults.

        Args:
            workload: One of the judge's.
            names: Baselines that work on it.
            budget_s: What all draws may take together.
            seed: The seed's process, where it is to be timed too.
        """
        judge, count = self._judge, draws(self._judge.spec)
        spec = replace(
            judge.spec,
            pairs=math.ceil(judge.spec.pairs / count),
            timing_budget_s=budget_s / count,
            give_up_below=0,
        )
        inputs, case = judge.contents.inputs(workload), judge.bank.case(workload, 0)
        kept = LATE_LOOKS + (busy.LOOKS if self._witness else 0)
        checked = judge.contents.checkpoints(workload, CHECKED_CALLS + kept)
        try:
            with judge.lease.exclusive(), ExitStack() as stack:

                def enter(process: CandidateProcess, name: str, calls: list[CheckedCall]) -> None:
                    subject = process.subject(
                        inputs,
                        case,
                        judge.rng,
                        name=name,
                        checked=calls,
                        share=CHECKED_SHARE,
                        kept=kept,
                    )
                    subjects.append(stack.enter_context(subject))

                subjects: list[Subject] = []
                enter(self._champion, "candidate", checked)
                enter(self._control, CONTROL, [])
                if seed is not None:
                    enter(seed, SEED, [])
                theirs = self._client.subjects(names, workload, inputs.seeds, judge.rng)
                subjects += stack.enter_context(theirs)
                with watched(spec.torch_device, spec.threads) as record:
                    rounds = timing.measure(timing.probed(subjects, spec), spec, judge.rng)
                if self._witness is not None and names:
                    self._witness.see(workload, subjects[0], rounds, record)
                return rounds, record
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
        names, start = [], time.monotonic()
        failed = self.failed.get(workload, {})
        for baseline in (b for b in self._baselines if b not in failed):
            with self._judge.beside_timing():
                reason = self._client.warm(baseline, workload, seeds)
            if reason:
                self.failed.setdefault(workload, {})[baseline] = reason
            else:
                names.append(baseline)
        if self._client is not self._judge.baselines:
            self._compiled_s += time.monotonic() - start
        return names


def _report(
    workload: str, measured: Sequence[tuple[Rounds, Record]], witnessed: Mapping[str, Any]
) -> WorkloadReport:
    found = Draws(rounds for rounds, _ in measured)
    # What a reader is warned of: the busiest of them.
    record = max((r for _, r in measured), key=lambda r: r.others_cores or 0.0)
    baselines = [n for n in found.names if n not in (found.names[0], CONTROL, SEED)]
    timings = sorted(
        (timing_of(found, workload, name) for name in baselines), key=lambda t: t.baseline_ms
    )
    seed: Speedup | None = None
    seed_speedup: Speedup | None = None
    if SEED in found.names:
        seed = found.speedup(SEED)
        seed_speedup = found.speedup(timings[0].baseline, SEED)
    return WorkloadReport(
        workload=workload,
        times_ms={name: found.median_ms(name) for name in found.names},
        timings=tuple(timings),
        seed=seed,
        seed_speedup=seed_speedup,
        control=found.speedup(CONTROL),
        samples_ms={name: tuple(times) for name, times in found.times_ms.items()},
        facts={**found.facts(), "telemetry": record.facts(), **witnessed},
    )
