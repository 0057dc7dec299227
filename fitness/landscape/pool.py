"""What a run asks of the judge of a machine, answered from a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType

from fitness import statistics
from fitness.baselines import BaselineTable
from fitness.findings import Findings
from fitness.landscape.evaluator import TableEvaluator
from fitness.landscape.table import Landscape
from fitness.report import FinalReport, WorkloadReport
from fitness.sandbox.layers import NAMES, Layer
from fitness.spec import EvaluationSpec
from populations.errors import SeedError
from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation, Outcome

_NOT_NEEDED = "nothing is run: a landscape answers"


class LandscapePool(TableEvaluator):
    """Stands for `fitness.pool.LocalPool` over a table; a context manager, too.

    Attributes:
        spec: As the experiment says; nothing of it decides an answer.
        device_lines: What is known of the device, for people.
        device_facts: Nothing: constraints on launch parameters hold.
    """

    def __init__(self, landscape: Landscape, spec: EvaluationSpec, *, seed: int) -> None:
        """Answer from a table; nothing is started.

        Args:
            landscape: The table.
            spec: What a judge would be told.
            seed: Root of what is drawn.
        """
        super().__init__(landscape, seed=seed)
        self.spec = spec
        self.device_lines: tuple[str, ...] = (f"measured before: the landscape {landscape.name}",)
        self.device_facts: dict[str, int] = {}

    def layers(self) -> Mapping[str, Layer]:
        """No layer: there is nothing to confine."""
        return {name: Layer(name, on=False, detail=_NOT_NEEDED) for name in NAMES}

    def facts(self) -> dict[str, str]:
        """The machine that the table was measured on, as `evo.facts.machine_facts` has it."""
        table = self.landscape
        machine = table.about.get("provenance", {}).get("machine", {})
        found = {"device": f"a landscape of {table.device}", "threads": "1"}
        found |= {str(key): str(value) for key, value in machine.items()}
        return {**found, "target": table.device, "landscape": f"{table.name}, {len(table)} points"}

    def examine_problem(self) -> Findings:
        """Nothing to find out: whoever measured the table did."""
        return Findings()

    def measure_baselines(self, progress: object = None) -> BaselineTable:  # noqa: ARG002 - none
        """The baselines as measured with the table."""
        return BaselineTable({self.landscape.workload: self.landscape.baselines_ms}, {})

    def adopt_baselines(self, times_ms: Mapping[str, Mapping[str, float]]) -> None:
        """Nothing to take over: they are the table's."""

    def adopt_judged(self, kernels: Iterable[Kernel]) -> None:
        """Nothing to take over: nothing is compiled."""

    def evaluate_once(self, candidate: Candidate) -> Evaluation:
        """One measurement."""
        return self.evaluate(candidate)

    def check(self, seeds: tuple[Candidate, ...] = ()) -> tuple[Evaluation, ...]:
        """Measure the first kernels. Raises SeedError for one that does not pass."""
        evaluations = tuple(map(self.evaluate, seeds))
        for seed, evaluation in zip(seeds, evaluations, strict=True):
            if not evaluation.passed:
                raise SeedError(f"{seed.note}: {evaluation.outcome}: {evaluation.diagnostics}")
        return evaluations

    def verify(
        self,
        candidate: Candidate,
        *,
        seed: Candidate | None = None,
        workloads: tuple[str, ...] = (),  # noqa: ARG002 - there is one
        pairs: int = 60,
    ) -> FinalReport:
        """Measure a champion once more, with more pairs than in the search."""
        row = self.row(candidate)
        if row is None or self.landscape.outcome(row) is not Outcome.PASSED:
            found = self.evaluate(candidate)
            return FinalReport(found.outcome, diagnostics=found.diagnostics, checks_total=1)
        ours = self.timing(candidate, row, pairs)
        # Another process of the same kernel, as far as the table knows: another draw.
        other = self.timing(candidate, row, pairs + 1).log_ratios[:pairs]
        control = [a - b for a, b in zip(ours.log_ratios, other, strict=True)]
        times_ms = {
            "candidate": ours.candidate_ms,
            "control": ours.candidate_ms,
            **self.landscape.baselines_ms,
            ours.baseline: ours.baseline_ms,
        }
        theirs = (
            self.timing(seed, at, pairs)
            if seed and (at := self._passed(seed)) is not None
            else None
        )
        if theirs:
            times_ms["seed"] = theirs.candidate_ms
            against = [a - b for a, b in zip(ours.log_ratios, theirs.log_ratios, strict=True)]
        report = WorkloadReport(
            workload=ours.workload,
            times_ms=times_ms,
            timings=(ours,),
            seed=statistics.speedup(against) if theirs else None,
            seed_speedup=theirs.speedup if theirs else None,
            control=statistics.speedup(control),
            samples_ms={},
            facts={"landscape": self.landscape.name, "pairs": pairs},
        )
        return FinalReport(
            Outcome.PASSED,
            checks_passed=1,
            checks_total=1,
            workloads=(report,),
            speedup=ours.speedup,
            seed_speedup=report.seed_speedup,
        )

    def __enter__(self) -> LandscapePool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _passed(self, candidate: Candidate) -> int | None:
        row = self.row(candidate)
        return row if row is not None and self.landscape.outcome(row) is Outcome.PASSED else None
