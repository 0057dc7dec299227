"""One judge: takes a candidate through the stages and writes its evaluation.

A judge is a process of our own. It holds the problem, the secret seeds, the expected outputs and
the verdict; the candidate is in another process, the baselines in a third.

    gate -> build -> construct -> check every workload and seed -> time every workload
"""

from __future__ import annotations

import random
import shutil
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fitness import policy, statistics, timing
from fitness.baselines import BaselineClient, BaselineTable
from fitness.cases import Case, CaseBank
from fitness.correctness import Verdict, compare_structure, compare_values
from fitness.exchange import OutputRegion, TensorSpec
from fitness.lease import DeviceLease
from fitness.process import CandidateProcess, Fault, work_folder
from fitness.sandbox.limits import system_paths
from fitness.sandbox.zygote import Spawner
from fitness.spec import EvaluationSpec
from fitness.toolchains import registry
from populations.kernel import Candidate
from populations.outcome import Evaluation, Outcome, Timing


@dataclass(slots=True)
class Progress:
    """What is known of a candidate so far: an evaluation in the making."""

    checks_passed: int = 0
    checks_total: int = 0
    build_s: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)


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
        model_seed: int,
        rng: random.Random,
    ) -> None:
        """Put a judge together.

        Args:
            spec: How to judge.
            bank: The questions and their answers.
            spawner: Starts the candidates' processes.
            baselines: To the baselines' process.
            lease: The device.
            model_seed: Decides the state of every model.
            rng: Draws the order of timing.
        """
        self.spec = spec
        self.bank = bank
        self.baselines = baselines
        self.lease = lease
        self.rng = rng
        self._spawner = spawner
        self._model_seed = model_seed
        self._folder = work_folder()
        self._readable = readable_paths(spec)

    def evaluate(self, candidate: Candidate, table: BaselineTable) -> Evaluation:
        """Take a candidate through all stages. What it does wrong is in the evaluation.

        Args:
            candidate: The candidate.
            table: The measured baselines; it is paired with the fastest on each workload.
        """
        progress = Progress()
        start, leased_s = time.monotonic(), self.lease.exclusive_s
        timings: list[Timing] = []
        try:
            self.build(candidate, progress)
            start = time.monotonic()
            # Starting and ending a process disturbs a timing as much as what it computes does: on
            # CUDA a context is made and torn down.
            with self.lease.shared():
                process = self.start(candidate)
            try:
                self.check(process, progress)
                timings = self._time(process, table, progress)
            finally:
                with self.lease.shared():
                    process.end()
            outcome, text = Outcome.PASSED, ""
        except Fault as fault:
            outcome, text, timings = fault.outcome, fault.text, []
            progress.details.update(fault.details)
        finally:
            self.bank.judged()
        return Evaluation(
            outcome=outcome,
            checks_passed=progress.checks_passed,
            checks_total=progress.checks_total,
            diagnostics=text,
            timings=tuple(timings),
            speedup=statistics.geometric_mean([t.speedup for t in timings]) if timings else None,
            build_s=progress.build_s,
            run_s=time.monotonic() - start,
            device_s=self.lease.exclusive_s - leased_s,
            details=progress.details,
        )

    def build(self, candidate: Candidate, progress: Progress) -> None:
        """The stages before anything runs: the static gate and the toolchain. Raises Fault."""
        findings = policy.examine(candidate.source)
        if findings:
            progress.details["policy"] = [f"{f.level}: {f}" for f in findings]
        if refused := policy.rejections(findings):
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

    def start(self, candidate: Candidate) -> CandidateProcess:
        """Start a candidate's process; it has not run anything of the candidate yet."""
        return CandidateProcess(
            candidate,
            self.spec,
            self._spawner,
            seed=self._model_seed,
            folder=self._folder,
            read=self._readable,
        )

    def check(self, process: CandidateProcess, progress: Progress) -> None:
        """Construct and compare on every workload and seed; raises Fault at the first mistake."""
        questions = list(self.bank.cases())
        progress.checks_total = len(questions)
        with self.lease.shared():
            case = self.bank.case(*questions[0])
            answer = process.construct(self.bank.constants, case.dtype)
            progress.details["state"] = str(answer.get("state"))
            for workload, number in questions:
                case = self.bank.case(workload, number)
                verdict = self.call(process, case, keep=number == 0)
                if verdict.outcome is not Outcome.PASSED:
                    progress.details["golden"] = case.method
                    where = f"workload {workload!r}, seed {number + 1} of {self.spec.seeds}: "
                    raise Fault(verdict.outcome, where + verdict.text, verdict.details)
                progress.checks_passed += 1
        progress.details["golden"] = case.method
        progress.details.update(verdict.details)

    def call(self, process: CandidateProcess, case: Case, *, keep: bool) -> Verdict:
        """Put one question to a constructed candidate and compare. Raises Fault if it fails."""
        with OutputRegion(case.output_specs) as region:
            answer = process.call(case, region, keep=keep)
            tree, specs = answer.get("tree"), _specs(answer.get("specs"))
            if wrong := compare_structure(case.output_tree, case.output_specs, tree, specs):
                return wrong
            changed = answer.get("changed")
            if not isinstance(changed, list) or set(changed) - set(case.changed):
                text = f"forward changes its inputs (tensors {changed}), the reference does not"
                return Verdict(Outcome.WRONG_VALUES, text)
            outputs = [o.to(self.spec.torch_device) for o in region.take()]
        return compare_values(case.expected, outputs, lambda: self.bank.lowered(case))

    def close(self) -> None:
        """Remove what is left of the candidates."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self.lease.close()

    def beside_timing(self) -> AbstractContextManager[None]:
        """What to hold while compiling."""
        # Compiling keeps a processor busy: on the CPU nobody may be timing meanwhile.
        return self.lease.shared() if self.spec.device == "cpu" else nullcontext()

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
        self, process: CandidateProcess, table: BaselineTable, progress: Progress
    ) -> list[Timing]:
        timings, facts = [], {}
        for workload in self.bank.workloads:
            baseline = table.fastest(workload)
            seed = self.bank.case(workload, 0).seed
            with self.lease.shared():
                self.baselines.warm(baseline, workload, seed)
            try:
                with (
                    self.lease.exclusive(),
                    process.subject(workload) as ours,
                    self.baselines.subjects([baseline], workload, seed) as theirs,
                ):
                    rounds = self._measure([ours, *theirs])
            except timing.ClockError as error:
                raise Fault(Outcome.CHEATED, f"workload {workload!r}: {error}") from error
            timings.append(timing_of(rounds, workload, baseline))
            facts[workload] = rounds.facts()
        progress.details["timing"] = facts
        progress.details["cache"] = "warm" if self.spec.device == "cpu" else "cold"
        return timings

    def _measure(self, subjects: list[timing.Subject]) -> timing.Rounds:
        if self.spec.interpret_triton:
            return timing.measure_once(subjects)
        return timing.measure(subjects, self.spec, self.rng)


def timing_of(rounds: timing.Rounds, workload: str, baseline: str) -> Timing:
    """The candidate against one baseline, from the rounds that count."""
    log_ratios = rounds.log_ratios(baseline)
    return Timing(
        workload=workload,
        baseline=baseline,
        candidate_ms=rounds.median_ms(rounds.names[0]),
        baseline_ms=rounds.median_ms(baseline),
        speedup=statistics.speedup(log_ratios),
        log_ratios=tuple(log_ratios),
    )


def readable_paths(spec: EvaluationSpec) -> tuple[Path, ...]:
    """What a candidate's process may read: the system, the packages, the compiled libraries.

    A checkout of this project is on Python's path, and runs with their results may lie in it: of
    it only the packages that a runner imports are left.
    """
    root = Path(__file__).resolve().parent.parent
    paths = [p for p in system_paths() if p.resolve() != root]
    own = [root / "fitness", root / "populations"]
    return tuple(dict.fromkeys([*paths, *own, spec.cache_dir]))


def _specs(data: Any) -> list[TensorSpec]:
    """What a runner says its outputs are; nothing of it is believed beyond a comparison."""
    found: list[TensorSpec] = []
    for item in data if isinstance(data, list) else []:
        try:
            found.append(TensorSpec(str(item[0]), tuple(int(n) for n in item[1])))
        except (IndexError, KeyError, TypeError, ValueError):
            found.append(TensorSpec("unreadable", ()))
    return found
