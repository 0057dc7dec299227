"""An evaluator that answers from a measured table: a search without a device.

A judge's answers scatter, and a search that never sees the same number twice has to live with it.
So what is answered is not the table's best estimate, but a measurement drawn anew: the raw pairs of
the point, as many as there were, drawn with replacement (the bootstrap of Efron 1979). What is
drawn follows from (seed, digest, number of the proposal): a run that is resumed, or grown again,
meets the same numbers, and a kernel that is measured again meets others.

What the pairs do not hold is not drawn: by how much two processes of one kernel differ. Intervals
are as wide as the judge makes them, which allows for it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from concurrent.futures import Future

from fitness import statistics
from fitness.evaluator import NOWHERE
from fitness.landscape.table import Landscape
from populations.kernel import Candidate
from populations.outcome import Evaluation, Outcome, Timing

# Beside what the table says of a failure: the judge's own checks were not all made.
_CHECKS = 1


class TableEvaluator:
    """Implements `fitness.evaluator.Evaluator` from a table.

    A candidate outside the table is `Outcome.REJECTED`, and its diagnostics say why: its text is of
    no variant that was measured, or its launch parameters were not.
    """

    def __init__(self, landscape: Landscape, *, seed: int) -> None:
        """Answer from a table.

        Args:
            landscape: The table.
            seed: Root of what is drawn.
        """
        self.landscape = landscape
        self._seed = seed
        self._closed = False
        self._rows: dict[str, int | None] = {}

    def submit(
        self,
        candidate: Candidate,
        *,
        hopeless: Mapping[str, float] = NOWHERE,  # noqa: ARG002 - nothing is timed
    ) -> Future[Evaluation]:
        """Answer at once."""
        future: Future[Evaluation] = Future()
        if self._closed:
            future.cancel()
        else:
            future.set_result(self.evaluate(candidate))
        return future

    def evaluate(self, candidate: Candidate) -> Evaluation:
        """One measurement of a candidate; another one under another number."""
        row = self.row(candidate)
        if row is None:
            return Evaluation(
                Outcome.REJECTED,
                diagnostics=self._outside(candidate),
                details={"landscape": self.landscape.name},
            )
        return self._measured(row, candidate)

    def row(self, candidate: Candidate) -> int | None:
        """The row of a candidate; None outside the table."""
        if candidate.language != self.landscape.language:
            return None
        if candidate.digest not in self._rows:
            self._rows[candidate.digest] = self.landscape.row(candidate.source)
        return self._rows[candidate.digest]

    def close(self) -> None:
        """Refuse further candidates; their futures are cancelled."""
        self._closed = True

    def drawn(self, candidate: Candidate, row: int, count: int = 0) -> tuple[float, ...]:
        """Log ratios of one measurement: `count` of them, or as many as one had for the table."""
        pairs = self.landscape.pairs(row)
        count = count or min(len(pairs), self.landscape.rounds)
        rng = random.Random(f"{self._seed}:{candidate.digest}:{candidate.number}:{count}")
        return tuple(rng.choices(pairs, k=count))

    def timing(self, candidate: Candidate, row: int, count: int = 0) -> Timing:
        """One measurement of a row that passed."""
        table = self.landscape
        ratios = self.drawn(candidate, row, count)
        baseline_ms = float(table.arrays["baseline_ms"][row])
        candidate_ms = baseline_ms * math.exp(-statistics.median(ratios))
        luck = statistics.luck(table.device, candidate_ms)
        return Timing(
            workload=table.workload,
            baseline=table.baseline,
            candidate_ms=candidate_ms,
            baseline_ms=baseline_ms,
            speedup=statistics.speedup(ratios, luck=luck),
            log_ratios=ratios,
        )

    def _measured(self, row: int, candidate: Candidate) -> Evaluation:
        table = self.landscape
        outcome = table.outcome(row)
        build_s = float(table.arrays["build_s"][row])
        device_s = float(table.arrays["device_s"][row])
        timing = self.timing(candidate, row) if outcome is Outcome.PASSED else None
        return Evaluation(
            outcome,
            checks_passed=_CHECKS if timing else 0,
            checks_total=_CHECKS,
            diagnostics="" if timing else table.text(row),
            timings=(timing,) if timing else (),
            speedup=timing.speedup if timing else None,
            build_s=build_s,
            run_s=device_s,
            device_s=device_s,
            details={"landscape": table.name, "row": row},
        )

    def _outside(self, candidate: Candidate) -> str:
        table = self.landscape
        if candidate.language != table.language:
            return f"the landscape {table.name} is of {table.language} kernels"
        number = table.variant_of(candidate.source)
        if number is None:
            return f"no variant of the landscape {table.name} reads like this"
        edits = ", ".join(table.variants[number].edits) or "no edits"
        return f"variant {number} ({edits}) was not measured at these launch parameters"
