"""What operators, models, knowledge entries and islands brought, along the whole path.

Credit goes to steps (`populations.analysis.steps`), and with a step to whoever had a part in it.

`log_gain` is what the steps on the final champion's path gained. Over all contributors of one kind
it adds up to the logarithm of the champion's speedup over the first of its path that passed; a step
that lost something, to be made up for later, counts against its maker.

`log_advance` looks at the line of champions: each one that took over advanced the best speedup, and
its advance is divided among all steps of its path in proportion to what they gained (steps that
lost have no part in it). It adds up to the logarithm of the last champion's speedup over the
first's. So a step early in a path that many champions share is credited with each of them, and the
operator that happened to make the last step does not take it all.

Neither says that the champion could not have come about otherwise: only a search without the
operator shows that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from populations.analysis.steps import log_gains

if TYPE_CHECKING:
    from populations.analysis.history import History
    from populations.kernel import Kernel
    from populations.lineage import Lineage

# Who had a part in a proposal, by its number: each has an equal part in its gain.
Names = Callable[[int], Sequence[str]]
SEED = "seed"


@dataclass(frozen=True, slots=True)
class Contribution:
    """One contributor's balance.

    Attributes:
        name: Its name; "" gathers what nobody of its kind had a part in.
        proposed: Proposals, those included of which no candidate came and those under way.
        judged: Kernels that were judged: the evaluations spent.
        passed: Those that passed every check.
        improved: Those that improved on their parents (`improved`).
        device_s: Device time spent on timing, seconds.
        cost_usd: Spent on models, US dollars.
        steps: Steps on the path to the final champion.
        log_gain: What those gained, the natural logarithm of a ratio.
        share: Its share of the path's gain; None where the path gained nothing.
        log_advance: Its part in the advances of all champions in the line.
    """

    name: str
    proposed: int
    judged: int
    passed: int
    improved: int
    device_s: float
    cost_usd: float
    steps: int
    log_gain: float
    share: float | None
    log_advance: float


@dataclass(slots=True)
class _StepCredit:
    """One step's part in what the run reached."""

    on_path: bool = False
    log_gain: float = 0.0
    log_advance: float = 0.0


@dataclass(slots=True)
class _Sums:
    proposed: int = 0
    judged: int = 0
    passed: int = 0
    improved: int = 0
    device_s: float = 0.0
    cost_usd: float = 0.0
    steps: int = 0
    log_gain: float = 0.0
    log_advance: float = 0.0

    def judge(self, kernel: Kernel, *, better: bool) -> None:
        self.judged += 1
        self.passed += kernel.passed
        self.improved += better
        self.device_s += kernel.evaluation.device_s

    def step(self, step: _StepCredit, *, part: float) -> None:
        self.steps += step.on_path
        self.log_gain += part * step.log_gain
        self.log_advance += part * step.log_advance


def contributions(
    history: History, kinds: Mapping[str, Names]
) -> dict[str, tuple[Contribution, ...]]:
    """Every contributor's balance, by kind, the one with the greatest advance first.

    Counts and costs of a proposal are given to each who had a part in it, and so add up to more
    than the run's where proposals had several; gains and advances are divided.

    Args:
        history: The run.
        kinds: Who is looked for: `operators`, `models` or `islands` of the history, `passages`.
    """
    better, cost_usd = improved(history.kernels), history.cost_usd()
    steps = _step_credit(history)
    total = sum(step.log_gain for step in steps.values())
    found = {}
    for kind, names in kinds.items():
        sums: dict[str, _Sums] = {}
        for number in sorted({*history.proposed, *history.kernels}):
            who = names(number)
            for name in who:
                mine = sums.setdefault(name, _Sums())
                mine.proposed += 1
                mine.cost_usd += cost_usd.get(number, 0.0)
                if kernel := history.kernels.get(number):
                    mine.judge(kernel, better=number in better)
                if step := steps.get(number):
                    mine.step(step, part=1 / len(who))
        made = [_contribution(name, mine, total) for name, mine in sums.items()]
        made.sort(key=lambda c: (-c.log_advance, -c.log_gain, -c.judged, c.name))
        found[kind] = tuple(made)
    return found


def operators(history: History) -> Names:
    """A proposal's operator; "seed" for a first kernel."""
    return lambda number: (_operator(history, number),)


def models(history: History) -> Names:
    """The model that a proposal was asked of; "" for none."""
    asked = history.asked
    return lambda number: (asked[number].model if number in asked else "",)


def islands(history: History) -> Names:
    """The island that a kernel settled on; "" for none, and for a seed, which is on all."""
    found = history.islands
    return lambda number: found[number] if len(found.get(number, ())) == 1 else ("",)


def passages(told: Mapping[int, Sequence[str]]) -> Names:
    """The knowledge entries that a proposal's prompts held, by number; "" for none."""
    return lambda number: tuple(told.get(number, ())) or ("",)


def improved(kernels: Mapping[int, Kernel]) -> frozenset[int]:
    """Numbers of the kernels that improved on their parents.

    Those whose interval lies above the speedup of their best parent; of kernels without a parent
    that passed, those that mend a failed one, and those above every kernel judged before. A seed
    is what others improve on.
    """
    found = set()
    best = 0.0
    for number, kernel in kernels.items():
        if (speedup := kernel.evaluation.speedup) is None:
            continue
        parents = [kernels[parent] for parent in kernel.candidate.parents if parent in kernels]
        beaten = [s.value for parent in parents if (s := parent.evaluation.speedup)]
        # What mends a kernel that failed has nothing to be faster than.
        to_beat = max(beaten, default=0.0 if parents else best)
        if kernel.candidate.operator != SEED and speedup.low > to_beat:
            found.add(number)
        best = max(best, speedup.value)
    return frozenset(found)


def _step_credit(history: History) -> dict[int, _StepCredit]:
    """What each step on the path to any champion is credited with, by number."""
    found: dict[int, _StepCredit] = {}
    for before, after in pairwise(history.champions):
        advance = _log(history.lineage, after) - _log(history.lineage, before)
        path = _path(history.lineage, after)
        gained = sum(max(log_gain, 0.0) for _, log_gain in path)
        for number, log_gain in path:
            # Nothing gained: a later seed that is better than what was bred, and all its own.
            own = 1.0 if number == after else 0.0
            share = max(log_gain, 0.0) / gained if gained else own
            found.setdefault(number, _StepCredit()).log_advance += share * advance
    if history.champion is not None:
        for number, log_gain in _path(history.lineage, history.champion):
            step = found.setdefault(number, _StepCredit())
            step.on_path, step.log_gain = True, log_gain
    return found


def _path(lineage: Lineage, number: int) -> list[tuple[int, float]]:
    """The numbers of a path with what each step gained, a logarithm."""
    path = [lineage.get(each) for each in lineage.path(number)]
    return [(kernel.number, gain) for kernel, gain in zip(path, log_gains(path), strict=True)]


def _log(lineage: Lineage, number: int) -> float:
    speedup = lineage.get(number).evaluation.speedup
    return speedup.log if speedup else 0.0


def _operator(history: History, number: int) -> str:
    kernel = history.kernels.get(number)
    return kernel.candidate.operator if kernel else history.proposed[number]


def _contribution(name: str, sums: _Sums, total: float) -> Contribution:
    return Contribution(
        name=name,
        proposed=sums.proposed,
        judged=sums.judged,
        passed=sums.passed,
        improved=sums.improved,
        device_s=sums.device_s,
        cost_usd=sums.cost_usd,
        steps=sums.steps,
        log_gain=sums.log_gain,
        share=sums.log_gain / total if total else None,
        log_advance=sums.log_advance,
    )
