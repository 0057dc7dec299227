"""How few trials the tuner needs, on measured tables.

The tuner itself proposes, in the lineage of a search that does nothing else; a table answers, with
the noise of the measurements that it is made of. Beside it, points drawn at random and the whole
table measured once, under the same rule: of all measured points the three with the highest lower
end are measured again at length, and the best of that is the champion.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables import FOLDER, Table, joined, load, of_landscape
from operators.operator import Situation, Variation
from operators.tuning import Tune
from populations.kernel import Candidate, Kernel
from populations.lineage import Lineage

SHARE = 0.15
NEAR = 0.01
FEWEST = 200
JOINED = 500
FINALISTS = 3
FINAL_PAIRS = 60
ATTEMPTS = 60
Sampler = Callable[[Table, int, int], list[Kernel]]


def measure(
    tables: Sequence[Path], repetitions: int, samplers: Sequence[str] = (), in_flight: int = 4
) -> dict[str, Any]:
    """Replay tuning on every table.

    Args:
        tables: Packed tables; none: those in this folder.
        repetitions: Seeds of each sampler.
        samplers: Names of `SAMPLERS`; none: all.
        in_flight: Proposals under way at once, as in a search.
    """
    found = {}
    shipped = sorted(path for path in FOLDER.iterdir() if path.suffix in (".xz", ".npz"))
    for name, table in _tables(tables or shipped):
        trials = int(SHARE * len(table.entries))
        numbers: dict[str, Any] = {
            "points": len(table.entries),
            "trials": trials,
            "best": math.exp(table.best),
            "near": sum(e.log >= table.best - NEAR for e in table.entries.values()),
        }
        for sampler in samplers or SAMPLERS:
            began = time.perf_counter()
            count = len(table.entries) if sampler == "exhaustive" else trials
            runs = [
                score(table, tuned(table, sampler, seed, count, in_flight), seed)
                for seed in range(repetitions)
            ]
            numbers[sampler] = summary(runs, trials) | {
                "trial_ms": (time.perf_counter() - began) * 1e3 / repetitions / count
            }
        found[name] = numbers
    return found


def _tables(paths: Sequence[Path]) -> Iterator[tuple[str, Table]]:
    """Every table of enough points.

    A landscape holds one for each variant, and where its variants are small, one for those that
    have the same parameters.
    """
    for path in paths:
        if path.suffix == ".npz":
            found = of_landscape(path)
            if all(len(table.entries) < FEWEST for table in found.values()):
                found = joined(path, JOINED)
            yield from ((n, table) for n, table in found.items() if len(table.entries) >= FEWEST)
        else:
            yield path.name.partition(".")[0], load(path)


def tuned(table: Table, sampler: str, seed: int, trials: int, in_flight: int) -> list[Kernel]:
    """One run: the judged kernels in the order of their proposal."""
    rng = random.Random(f"{seed}:{sampler}")
    points = list(table.entries)
    if sampler in ("random", "exhaustive"):
        drawn = rng.sample(points, trials)
        return [_judged(table, n, table.at(point), rng) for n, point in enumerate(drawn)]
    tune = SAMPLERS[sampler]()
    passing = [point for point in points if table.entries[point].log_ratios]
    lineage, kernels = Lineage(), [_judged(table, 0, table.at(rng.choice(passing)), rng)]
    lineage.add(kernels[0])
    while len(kernels) < trials:
        # Results of what is under way are not known yet, as in a search.
        while len(lineage) <= len(kernels) - in_flight:
            lineage.add(kernels[len(lineage)])
        waiting = tuple(kernel.candidate for kernel in kernels[len(lineage) :])
        situation = Situation(lineage, rng, table.device, under_way=waiting)
        source = _asked(tune, kernels, situation)
        if source is None:
            break
        kernels.append(_judged(table, len(kernels), source, rng))
    return kernels


def score(table: Table, kernels: Sequence[Kernel], seed: int) -> dict[str, float]:
    """What one run reached.

    Returns:
        `trials_to_near`: trials until a point within `NEAR` of the best was measured, infinite if
        none was; `regret`: how far the champion's log speedup is from the best; `visited`: how far
        that of the best point which was measured is.
    """
    logs = [table.log(kernel.source) for kernel in kernels]
    near = (n for n, log in enumerate(logs, 1) if log >= table.best - NEAR)
    rng = random.Random(f"{seed}:final")
    ranked = sorted((k for k in kernels if k.passed), key=lambda k: k.fitness, reverse=True)
    again = {k.source: table.judged(k.source, rng, pairs=FINAL_PAIRS) for k in ranked[:FINALISTS]}
    champion = max(again, key=lambda source: again[source].speedup.value)  # type: ignore[union-attr]
    return {
        "trials_to_near": next(near, math.inf),
        "regret": table.best - table.log(champion),
        "visited": table.best - max(logs),
        "device_s": sum(kernel.evaluation.device_s for kernel in kernels),
    }


def summary(runs: Sequence[dict[str, float]], trials: int) -> dict[str, float]:
    """Median and 90th percentile over runs, and the share of runs that came near in time."""
    found: dict[str, float] = {
        "near_in_time": sum(r["trials_to_near"] <= trials for r in runs) / len(runs),
    }
    for key in ("trials_to_near", "regret", "visited"):
        ordered = sorted(run[key] for run in runs)
        found[f"{key}_median"] = ordered[len(ordered) // 2]
        found[f"{key}_p90"] = ordered[min(math.ceil(0.9 * len(ordered)) - 1, len(ordered) - 1)]
    return found


def _asked(tune: Tune, kernels: Sequence[Kernel], situation: Situation) -> str | None:
    """A point that was not proposed before; a search asks again too."""
    known = {kernel.source for kernel in kernels}
    for _ in range(ATTEMPTS):
        answer = tune.vary([kernels[0]], situation)
        if not isinstance(answer, Variation):
            return None
        if answer.source not in known:
            return answer.source
    return None


def _judged(table: Table, number: int, source: str, rng: random.Random) -> Kernel:
    candidate = Candidate(number, source, "cpp", operator="tune" if number else "seed")
    return Kernel(candidate, table.judged(source, rng))


SAMPLERS: dict[str, Callable[[], Tune]] = {
    "random": Tune,
    "tpe": lambda: Tune(sampler="tpe"),
    "expected": lambda: Tune(sampler="expected"),
    "elites": lambda: Tune(sampler="elites"),
    "neighbours": lambda: Tune(sampler="neighbours"),
    "exhaustive": Tune,
}
