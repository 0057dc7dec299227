"""One judge: takes a candidate through the stages and writes its evaluation.

A judge is a process of our own. It holds the problem, the secret seeds, the expected outputs and
the verdict; the candidate is in another process, the baselines in a third.

    gate -> build -> construct -> check every workload and seed -> time every workload
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from fitness import policy, statistics, timing
from fitness.baselines import BaselineClient, BaselineTable
from fitness.batches import LATE_LOOKS
from fitness.binaries import KEY, Repeat, cpp_key, triton_key
from fitness.cases import Case, CaseBank
from fitness.children import BaselineProcess
from fitness.clocks import ClockError
from fitness.contents import ContentsBank
from fitness.correctness import Verdict
from fitness.crowding import with_room
from fitness.diagnostics.hook import examined, profiled
from fitness.diagnostics.narrow import narrowed
from fitness.diagnostics.summary import concluded
from fitness.elites import STAGE, Bar
from fitness.evaluator import NOWHERE
from fitness.interview import put
from fitness.lease import DeviceLease
from fitness.process import CandidateProcess, Fault
from fitness.questions import Session, questions
from fitness.roofline import Roofline, check
from fitness.rounds import Draws, Rounds
from fitness.runners import Runners
from fitness.sandbox.zygote import Spawner
from fitness.spec import EvaluationSpec
from fitness.stages import Stages
from fitness.subject import Subject, Timed
from fitness.telemetry import Record, watched
from fitness.toolchains import registry
from populations.kernel import Candidate
from populations.outcome import Evaluation, Outcome, Speedup, Timing


@dataclass(slots=True)
class Progress:
    """What is known of a candidate so far: an evaluation in the making."""

    checks_passed: int = 0
    checks_total: int = 0
    build_s: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)
    stages: Stages = field(default_factory=Stages)


class Judge:
    """Judges candidates, one at a time."""

    def __init__(
        self,
        spec: EvaluationSpec,
        bank: CaseBank,
        spawner: Spawner,
        baselines: BaselineClient,
        lease: DeviceLease,
        *,
        memory: DeviceLease,
        runners: Runners,
        contents: ContentsBank,
        model_seed: int,
        rng: random.Random,
        roofline: Roofline | None = None,
    ) -> None:
        """Put a judge together.

        Args:
            spec: How to judge.
            bank: The questions and their answers.
            contents: What timed calls are called on.
            spawner: Starts the candidates' processes.
            baselines: To the baselines' process.
            lease: The device.
            memory: Held while a candidate's process lives (`fitness.crowding`).
            runners: Where candidates' processes come from; closed at the end.
            model_seed: Decides the state of every model.
            rng: Draws the order of timing.
            roofline: What the device can do at best; None: nothing is held against it.
        """
        self.spec = spec
        self.bank = bank
        self.contents = contents
        self.baselines = baselines
        self.lease = lease
        self.memory = memory
        self.runners = runners
        self.rng = rng
        self.roofline = roofline
        self._spawner = spawner
        self._model_seed = model_seed
        # Baseline and workload -> what a call took at best so far, and what lay between two.
        self._call_ms: dict[tuple[str, str], float] = {}
        self._renewal_ms: dict[tuple[str, str], float] = {}

    def evaluate(
        self,
        candidate: Candidate,
        table: BaselineTable,
        hopeless: Mapping[str, float] = NOWHERE,
        known: frozenset[str] = frozenset(),
        bar: Bar | None = None,
    ) -> Evaluation | Repeat:
        """Take a candidate through all stages. What it does wrong is in the evaluation.

        Args:
            candidate: The candidate.
            table: The measured baselines; it is paired with the fastest on each workload.
            hopeless: Workload -> speedup below which it is not timed to the end there.
            known: Keys of what was judged before (`fitness.binaries`); one that compiles to any
                of that is not judged further.
            bar: What its speedup has to clear for a profile; None: it gets none.

        Raises:
            WorkerError: Others hold the memory that the candidate needs.
        """
        return with_room(
            self.spec.torch_device,
            self.memory,
            lambda: self._evaluated(candidate, table, hopeless, known, bar),
        )

    def _evaluated(
        self,
        candidate: Candidate,
        table: BaselineTable,
        hopeless: Mapping[str, float],
        known: frozenset[str],
        bar: Bar | None,
    ) -> Evaluation | Repeat:
        progress = Progress()
        start, leased_s = time.monotonic(), self.lease.exclusive_s
        timings: list[Timing] = []
        try:
            with progress.stages.stage("build", self.lease):
                self.build(candidate, progress)
            if progress.details.get(KEY) in known:
                return self._repeat(progress, start)
            start = time.monotonic()
            with progress.stages.stage("start", self.lease):
                process = self.runners.ready(candidate, table)
            try:
                with progress.stages.stage("check", self.lease), narrowed(self, process, progress):
                    self.check(process, progress)
                if candidate.language == "triton" and self.spec.reuse_binaries:
                    self._note_code(process, progress)
                    if progress.details.get(KEY) in known:
                        return self._repeat(progress, start)
                with progress.stages.stage("time", self.lease):
                    timings = self._time(process, table, progress, hopeless)
                with progress.stages.stage("diagnose", self.lease), self.lease.shared():
                    progress.details |= examined(process, self.spec, self._spawner)
                # Nobody's time for timing: who gets a profile is to be no dearer for it.
                leased_s += self._profile(process, timings, progress, bar)
            finally:
                with progress.stages.stage("end", self.lease):
                    self.runners.end(process)
            with progress.stages.stage("roofline", self.lease):
                self.hold_against_roofline(timings, progress)
            progress.details |= concluded(progress.details)
            outcome, text = Outcome.PASSED, ""
        except Fault as fault:
            outcome, text, timings = fault.outcome, fault.text, []
            progress.details.update(fault.details)
        finally:
            self.bank.judged()
            self.contents.judged()
            progress.details["stages"] = progress.stages.seconds()
        return Evaluation(
            outcome=outcome,
            checks_passed=progress.checks_passed,
            checks_total=progress.checks_total,
            diagnostics=text,
            timings=tuple(timings),
            speedup=_overall(timings),
            build_s=progress.build_s,
            run_s=time.monotonic() - start,
            device_s=self.lease.exclusive_s - leased_s,
            details=progress.details,
        )

    def build(self, candidate: Candidate, progress: Progress) -> None:
        """The stages before anything runs: the static gate and the toolchain. Raises Fault."""
        findings = policy.examine(candidate.source, policy.of(self.spec))
        if findings:
            progress.details["policy"] = [f"{f.level}: {f}" for f in findings]
        if self.spec.gate and (refused := policy.rejections(findings)):
            raise Fault(Outcome.REJECTED, "\n".join(str(f) for f in refused))
        self._refuse_triton_on_cpu(candidate)
        start = time.monotonic()
        try:
            with self.beside_timing():
                built = registry.build(candidate, self.spec, self._spawner)
        finally:
            progress.build_s = time.monotonic() - start
        if isinstance(built, registry.BuildFailure):
            raise Fault(Outcome.COMPILE_ERROR, built.text)
        if self.spec.reuse_binaries and (key := cpp_key(candidate, built.files)):
            progress.details[KEY] = key

    def fresh_baselines(self) -> BaselineProcess:
        """A further process of the baselines, for this judge alone; the caller ends it."""
        return BaselineProcess(self._spawner, self.spec, self._model_seed)

    def check(self, process: CandidateProcess, progress: Progress) -> None:
        """Construct and ask everything that the spec wants asked; raises the first Fault."""
        asked = questions(self.spec)
        progress.checks_total = sum(question.count(self.bank) for question in asked)
        # Left and entered again after each: whoever waits to time waits for that long.
        with progress.stages.stage("construct", self.lease), self.lease.shared():
            case = self.bank.case(self.bank.workloads[0], 0)
            answer = process.construct(self.bank.constants, case.dtype)
        progress.details |= {"golden": case.method, "state": str(answer.get("state"))}
        facts = progress.details.setdefault("questions", {})
        session, passed = Session(self, process, progress), 0
        for question in asked:
            with progress.stages.stage(question.name, self.lease), self.lease.shared():
                if found := question.ask(session):
                    facts[question.name] = found
            passed += question.count(self.bank)
            progress.checks_passed = passed

    def call(self, process: CandidateProcess, case: Case) -> Verdict:
        """Put one question to a constructed candidate and compare. Raises Fault if it fails."""
        return put(process, self.bank, [case], self.spec.torch_device)[0].verdict

    def hold_against_roofline(self, timings: Sequence[Timing], progress: Progress) -> None:
        """Note each workload's share of the roofline; raises Fault for a time that cannot be."""
        if self.roofline is None or self.spec.interpret_triton:
            return
        with self.lease.shared():
            floors = self.roofline.floors([t.workload for t in timings], self._written_bytes)
        if check(timings, floors):
            # The ceilings may be too low: the device is asked again before anybody is accused.
            with self.lease.exclusive():
                floors = self.roofline.measured_again(floors, self._written_bytes)
            if fault := check(timings, floors):
                raise Fault(Outcome.CHEATED, fault)
        progress.details["roofline"] = {
            t.workload: floors[t.workload].facts(t.candidate_ms)
            for t in timings
            if t.workload in floors
        }

    def _written_bytes(self, workload: str) -> int:
        return sum(s.nbytes for s in self.bank.case(workload, 0).output_specs)

    def close(self) -> None:
        """Remove what is left of the candidates."""
        self.runners.close()
        self.contents.close()
        self.lease.close()
        self.memory.close()

    def beside_timing(self) -> AbstractContextManager[None]:
        """What to hold while compiling."""
        # Compiling keeps a processor busy: on the CPU nobody may be timing meanwhile.
        return self.lease.shared() if self.spec.device == "cpu" else nullcontext()

    def _note_code(self, process: CandidateProcess, progress: Progress) -> None:
        with suppress(Fault):
            kernels = process.resources().get("kernels")
            if not self.spec.interpret_triton and (key := triton_key(process.candidate, kernels)):
                progress.details[KEY] = key

    def _profile(
        self,
        process: CandidateProcess,
        timings: Sequence[Timing],
        progress: Progress,
        bar: Bar | None,
    ) -> float:
        """Profile a kernel that clears the bar; seconds for which the device was held for it."""
        speedup, held_s = _overall(timings), self.lease.exclusive_s
        if bar is None or speedup is None or not bar.cleared(speedup):
            return 0.0
        slowest = max(timings, key=lambda timing: timing.candidate_ms)
        with progress.stages.stage(STAGE, self.lease), self.lease.exclusive():
            case = self.bank.case(slowest.workload, 0)
            progress.details |= profiled(process, self.spec, case, slowest, progress.details)
        return self.lease.exclusive_s - held_s

    def _repeat(self, progress: Progress, start: float) -> Repeat:
        return Repeat(progress.details[KEY], progress.build_s, time.monotonic() - start)

    def _refuse_triton_on_cpu(self, candidate: Candidate) -> None:
        if candidate.language != "triton" or self.spec.device != "cpu":
            return
        if not self.spec.interpret_triton:
            raise Fault(Outcome.REJECTED, "a Triton kernel needs the device cuda, this is cpu")
        # Triton's interpreter computes bfloat16 wrongly and does not say so.
        for workload in self.bank.workloads:
            case = self.bank.case(workload, 0)
            if "bfloat16" in {case.dtype, *(s.dtype for s in case.specs)}:
                text = f"workload {workload!r} is in bfloat16, which Triton's interpreter cannot do"
                raise Fault(Outcome.REJECTED, text)

    def _time(
        self,
        process: CandidateProcess,
        table: BaselineTable,
        progress: Progress,
        hopeless: Mapping[str, float],
    ) -> list[Timing]:
        timings, facts = [], {}
        for workload in self.bank.workloads:
            baseline, below = table.fastest(workload), hopeless.get(workload, 0.0)
            with self.lease.shared():
                inputs, case = self.contents.inputs(workload), self.bank.case(workload, 0)
                checked = self.contents.checkpoints(workload, 1 + LATE_LOOKS)
                self.baselines.warm(baseline, workload, inputs.seeds)
            try:
                with process.subject(inputs, case, self.rng, checked=checked) as ours:
                    theirs = (baseline, workload, inputs.seeds)
                    rounds, record = self._measure(ours, *theirs, below)
            except ClockError as error:
                raise Fault(Outcome.CHEATED, f"workload {workload!r}: {error}") from error
            timings.append(timing_of(rounds, workload, baseline))
            facts[workload] = {**rounds.facts(), "telemetry": record.facts()}
        progress.details["timing"] = facts
        progress.details["cache"] = "warm" if self.spec.device == "cpu" else "cold"
        return timings

    def _measure(
        self, ours: Subject, baseline: str, workload: str, seeds: tuple[int, ...], below: float
    ) -> tuple[Rounds, Record]:
        probed: list[Timed] = []
        if not self.spec.interpret_triton:
            # What compiles at its first call does so while others work.
            with self.lease.shared():
                probed = timing.probed([ours], self.spec)
        self.runners.rest()
        with (
            self.lease.exclusive(),
            # For this long alone: there is one process of baselines for all judges.
            self.baselines.subjects([baseline], workload, seeds, self.rng) as theirs,
            watched(self.spec.torch_device, self.spec.threads) as record,
        ):
            if self.spec.interpret_triton:
                return timing.measure_once([ours, *theirs]), record
            probed += [self._sized(one, workload) for one in theirs]
            rounds = timing.measure(probed, self.spec, self.rng, hopeless=below)
        # The least so far: a neighbour may have been in the way at first, and of two batches of
        # one kernel the one with fewer calls shows longer times.
        key = baseline, workload
        self._call_ms[key] = min(self._call_ms.get(key, math.inf), *rounds.times_ms[baseline])
        if renewal_ms := probed[-1].renewal_ms:
            self._renewal_ms[key] = min(self._renewal_ms.get(key, math.inf), renewal_ms)
        return rounds, record

    def _sized(self, subject: Subject, workload: str) -> Timed:
        """A baseline that knows how many calls make a batch; on the CPU it is asked once."""
        timed = Timed(subject, self.spec)
        timed.renewal_ms = self._renewal_ms.get((subject.name, workload), 0.0)
        known_ms = self._call_ms.get((subject.name, workload))
        if known_ms is None or timed.ahead:
            timed.probe()
        else:
            timed.size(known_ms)
        return timed


def timing_of(rounds: Rounds | Draws, workload: str, baseline: str) -> Timing:
    """The candidate against one baseline, from the rounds that count."""
    return Timing(
        workload=workload,
        baseline=baseline,
        candidate_ms=rounds.median_ms(rounds.names[0]),
        baseline_ms=rounds.median_ms(baseline),
        speedup=rounds.speedup(baseline),
        log_ratios=tuple(rounds.log_ratios(baseline)),
    )


def _overall(timings: Sequence[Timing]) -> Speedup | None:
    return statistics.geometric_mean([t.speedup for t in timings]) if timings else None
