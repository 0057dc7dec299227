"""What measuring again is worth: searches with noise over kernels whose true speed is known.

A kernel is a row of digits; its true speedup follows from them, with pairs of digits that matter
only together. A measurement is off by 3% (log-normal), its interval says so, and one in 66 is taken
in a bad moment of the baseline, which makes the kernel look 1.58 times faster than it is and shows
in no interval. All searches have the same number of evaluations: what is measured again is not
spent on new kernels.
"""

from __future__ import annotations

import math
import random
import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from evo.budget import Budget
from evo.events import Event, Proposed
from evo.parts import Parts
from evo.search import Search
from operators.credit import Credit
from operators.operator import Situation, Variation
from populations.archive import Population
from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation, Outcome, Speedup, Timing
from populations.policies.steady import SteadyState
from populations.selection import Tournament
from populations.store import Store

DIGITS, LENGTH = 6, 14
NOISE = 0.03
OUTLIER_SHARE = 0.015
OUTLIER = math.log(1.58)
PAIRS = 12
_T = 2.201  # Student's 97.5% quantile for PAIRS - 1 degrees of freedom
# An estimate that is further off than this was an outlier's.
_FAR = OUTLIER / 2
SEEDS_SOURCE = " ".join("0" * LENGTH)


@dataclass(frozen=True, slots=True)
class World:
    """A landscape and its weather, both drawn from a seed."""

    seed: int

    def truth(self, source: str) -> float:
        """Natural logarithm of a kernel's true speedup."""
        alone, together = _weights(self.seed)
        digits = [int(digit) for digit in source.split()]
        log = sum(weights[digit] for weights, digit in zip(alone, digits, strict=True))
        return log + sum(
            weight for i, a, j, b, weight in together if digits[i] == a and digits[j] == b
        )

    def measured(self, source: str, number: int) -> Evaluation:
        """One measurement; another `number` is another moment."""
        rng = random.Random(f"{self.seed}:{source}:{number}")
        log = self.truth(source) + rng.gauss(0.0, NOISE)
        if rng.random() < OUTLIER_SHARE:
            log += OUTLIER
        spread = rng.gammavariate((PAIRS - 1) / 2, 2 / (PAIRS - 1))
        half = _T * NOISE * math.sqrt(spread)
        speedup = Speedup(math.exp(log), math.exp(log - half), math.exp(log + half))
        timing = Timing("w", "eager", 1 / speedup.value, 1.0, speedup, (log,))
        return Evaluation(Outcome.PASSED, 4, 4, timings=(timing,), speedup=speedup, device_s=1.0)


@cache
def _weights(seed: int) -> tuple[list[list[float]], list[tuple[int, int, int, int, float]]]:
    """What each digit is worth in each place, and what some pairs are worth together."""
    rng = random.Random(f"landscape:{seed}")
    alone = [[0.0, *(rng.gauss(-0.03, 0.07) for _ in range(DIGITS - 1))] for _ in range(LENGTH)]
    together = []
    for _ in range(4 * LENGTH):
        i, j = rng.sample(range(LENGTH), 2)
        a, b = rng.randrange(DIGITS), rng.randrange(DIGITS)
        together.append((i, a, j, b, rng.gauss(0.0, 0.12)))
    return alone, together


class _Step:
    """Changes one digit."""

    name = "step"
    arity = 1

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Variation:
        """One digit of the parent's."""
        digits = parents[0].source.split()
        at = situation.rng.randrange(LENGTH)
        digits[at] = str((int(digits[at]) + situation.rng.randrange(1, DIGITS)) % DIGITS)
        return Variation(source=" ".join(digits), note=f"digit {at}")


class _Cross:
    """Takes each digit from either parent."""

    name = "cross"
    arity = 2

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Variation:
        """A uniform crossover."""
        pairs = zip(*(parent.source.split() for parent in parents), strict=True)
        return Variation(source=" ".join(map(situation.rng.choice, pairs)), note="crossed")


class _Measuring:
    """An evaluator for a world: each proposal is its own moment."""

    def __init__(self, world: World) -> None:
        self._world = world

    def submit(self, candidate: Candidate, **_: object) -> Future[Evaluation]:
        """Answer at once."""
        future: Future[Evaluation] = Future()
        future.set_result(self._world.measured(candidate.source, candidate.number))
        return future

    def close(self) -> None:
        """Nothing to end."""


class _Watch:
    """Counts the proposals whose first parent was believed far too fast."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.search: Search | None = None
        self.proposals = self.misled = 0

    def notify(self, event: Event) -> None:
        """Look at the estimate that the parent was chosen by."""
        if isinstance(event, Proposed) and self.search is not None:
            parent = self.search.lineage.get(event.candidate.parents[0])
            self.proposals += 1
            self.misled += _off(self._world, parent) > _FAR


def _off(world: World, kernel: Kernel) -> float:
    speedup = kernel.evaluation.speedup
    return speedup.log - world.truth(kernel.source) if speedup else 0.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How one search ended.

    Attributes:
        champion: Natural logarithm of the champion's true speedup.
        off: How much faster it was believed to be, likewise.
        misled: Share of proposals whose first parent was believed far too fast.
        again: Share of the evaluations that measured a kernel again.
    """

    champion: float
    off: float
    misled: float
    again: float


def search(world: World, *, evaluations: int, remeasure: int, in_flight: int = 4) -> Ended:
    """One search of so many evaluations."""
    watch = _Watch(world)
    first = Candidate(0, SEEDS_SOURCE, "python")
    with (
        tempfile.TemporaryDirectory(prefix="evo-bench-") as folder,
        Store.create(Path(folder), experiment="", fingerprint="") as store,
    ):
        found = Search(
            Parts(
                store=store,
                evaluator=_Measuring(world),
                operators={"step": _Step(), "cross": _Cross()},
                structural=frozenset({"step"}),
                credit=Credit(priors={"step": 1.0, "cross": 0.3}),
                policy=SteadyState(
                    population=Population(capacity=24), selection=Tournament(size=3)
                ),
                observer=watch,
            ),
            budget=Budget(evaluations=evaluations),
            seed=world.seed,
            in_flight=in_flight,
            device="cpu",
            edits=1.6,
            remeasure=remeasure,
        )
        watch.search = found
        found.run([Kernel(first, world.measured(first.source, 0))])
        again = len(store.remeasured())
    champion = found.champion
    if champion is None:
        raise ValueError("no kernel passed, though none can fail")
    return Ended(
        champion=world.truth(champion.source),
        off=_off(world, champion),
        misled=watch.misled / max(watch.proposals, 1),
        again=again / evaluations,
    )


def measure(
    evaluations: int, worlds: int, settings: Sequence[int] = (0, 1, 2, 3)
) -> dict[str, Any]:
    """Search so many worlds, each with every setting of `remeasure`; the first is compared with.

    Returns:
        JSON-able, per setting: the mean true speedup of the champion (geometric), its ratio to
        that of the first setting with a 95% interval over the worlds, the share of champions
        that were believed far too fast, and the rest of `Ended` as means.
    """
    ended: dict[int, list[Ended]] = {again: [] for again in settings}
    for seed in range(worlds):
        for again in settings:
            ended[again].append(search(World(seed), evaluations=evaluations, remeasure=again))
    return {
        "evaluations": evaluations,
        "worlds": worlds,
        "remeasure": {str(again): _summary(ended[again], ended[settings[0]]) for again in settings},
    }


def _summary(ended: list[Ended], without: list[Ended]) -> dict[str, Any]:
    gains = [a.champion - b.champion for a, b in zip(ended, without, strict=True)]
    mean = statistics.fmean(gains)
    half = 1.96 * statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.inf
    return {
        "champion": math.exp(statistics.fmean(one.champion for one in ended)),
        "gain": [math.exp(mean), math.exp(mean - half), math.exp(mean + half)],
        "believed": math.exp(statistics.fmean(one.off for one in ended)),
        "steered": statistics.fmean(one.off > _FAR for one in ended),
        "misled": statistics.fmean(one.misled for one in ended),
        "again": statistics.fmean(one.again for one in ended),
    }
