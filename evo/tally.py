"""What each operator brought: proposals, kernels that passed, improvements, the cost of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evo.tables import NOTHING, format_speedup, text_table
from populations.analysis.credit import improved

if TYPE_CHECKING:
    from populations.outcome import Speedup
    from populations.store import Store

HEADER = (
    "operator",
    "proposals",
    "candidates",
    "passed",
    "improved",
    "best",
    "calls",
    "tokens",
    "US dollars",
)


@dataclass(slots=True)
class Tally:
    """One operator's balance.

    Attributes:
        operator: Its name; "seed" stands for the first kernels.
        proposals: What it proposed, rejected answers of models included.
        candidates: Those that were judged.
        passed: Those that passed every check.
        improved: Those that improved on their parents (`populations.analysis.credit.improved`).
        best: The fastest one.
        calls: Questions to models, with their `tokens` and `cost_usd`.
        rejected: Reason -> how many proposals came to nothing for it.
    """

    operator: str
    proposals: int = 0
    candidates: int = 0
    passed: int = 0
    improved: int = 0
    best: Speedup | None = None
    calls: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    rejected: dict[str, int] = field(default_factory=dict)


def tally(store: Store) -> list[Tally]:
    """Every operator's balance of a run, the one with the fastest kernel first."""
    found: dict[str, Tally] = {}

    def of(operator: str) -> Tally:
        return found.setdefault(operator, Tally(operator))

    asked = {proposal.number: proposal for proposal in store.proposals()}
    for proposal in asked.values():
        of(proposal.operator).proposals += 1
    for rejection in store.rejections():
        reasons = of(asked[rejection.number].operator).rejected
        reasons[rejection.reason] = reasons.get(rejection.reason, 0) + 1
    for call in store.calls():
        mine = of(call.operator)
        mine.calls += 1
        mine.tokens += call.answer.tokens_in + call.answer.tokens_out
        mine.cost_usd += call.answer.cost_usd
    kernels = {kernel.number: kernel for kernel in store.kernels()}
    better = improved(kernels)
    for number, kernel in kernels.items():
        mine = of(kernel.candidate.operator)
        mine.proposals += number not in asked
        mine.candidates += 1
        mine.improved += number in better
        speedup = kernel.evaluation.speedup
        if speedup is None:
            continue
        mine.passed += 1
        if mine.best is None or speedup.value > mine.best.value:
            mine.best = speedup
    return sorted(found.values(), key=lambda t: (-(t.best.value if t.best else 0.0), t.operator))


def table(tallies: Sequence[Tally]) -> str:
    """The balances as text; what models cost is left out where none was asked."""
    asked = any(one.calls for one in tallies)
    rows = []
    for one in tallies:
        row = [
            one.operator,
            str(one.proposals),
            str(one.candidates),
            _share(one.passed, one.candidates),
            _share(one.improved, one.candidates),
            format_speedup(one.best),
        ]
        if asked:
            row += [str(one.calls), str(one.tokens), f"{one.cost_usd:.2f}"]
        rows.append(tuple(row))
    return text_table(HEADER if asked else HEADER[:6], rows)


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.0%})" if whole else NOTHING
