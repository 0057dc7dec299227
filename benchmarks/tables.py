"""Measured tables: every launch-parameter point of one skeleton, each timed several times anew.

A table answers as a judge would: with one of a point's measurements, its rounds drawn again with
replacement. What two processes of one kernel differ by is in it, since every measurement was made
by a process of its own. On a machine that others use, these measurements scatter by more than the
best points differ; what a point is worth is known from its quickest calls in many rounds over all
points, and the judge's rounds are shifted so that their middle lies there.

    python -m benchmarks.tables conv1d_blocked --times 3 --quiet 20    # measure, append, pack
"""

from __future__ import annotations

import argparse
import itertools
import json
import lzma
import math
import random
import runpy
import statistics as stdlib
import sys
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitness import statistics
from populations.kernel import Candidate
from populations.outcome import Evaluation, Outcome, Timing
from populations.parameters import Value, parameters, values, with_values

if TYPE_CHECKING:
    from concurrent.futures import Future

FOLDER = Path(__file__).parent / "measured"
Point = tuple[Value, ...]
# Calls of a point in each round, after one that warms up.
_CALLS = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one point.

    Attributes:
        outcome: How its evaluations ended.
        text: What was wrong, where something was.
        log_ratios: ln(baseline time / candidate time) of the rounds, one list for each measurement.
        device_s: Seconds of the device that a measurement took on average.
        log: Its log speedup, as well as it is known; minus infinity where it failed.
    """

    outcome: Outcome
    text: str
    log_ratios: tuple[tuple[float, ...], ...]
    device_s: float
    log: float


def entry_of(
    outcome: Outcome,
    text: str,
    log_ratios: Sequence[Sequence[float]],
    device_s: float,
    log: float | None = None,
) -> Entry:
    """An entry whose measurements scatter around what the point is worth.

    `log` is that; without it, the median of the measurements' medians.
    """
    if not log_ratios:
        return Entry(outcome, text, (), device_s, -math.inf)
    middle = stdlib.median(stdlib.median(rounds) for rounds in log_ratios)
    log = middle if log is None else log
    shifted = tuple(tuple(r + log - middle for r in rounds) for rounds in log_ratios)
    return Entry(outcome, text, shifted, device_s, log)


class Table:
    """All points of one skeleton's launch parameters, or those that were measured of them."""

    def __init__(self, source: str, device: str, entries: Mapping[Point, Entry]) -> None:
        """Take what was measured.

        Args:
            source: The module, at any point.
            device: "cpu" or "cuda".
            entries: Points, each in the order of the source's parameters.
        """
        self.source = source
        self.device = device
        self.entries = dict(entries)

    @property
    def best(self) -> float:
        """The largest log speedup."""
        return max(entry.log for entry in self.entries.values())

    def log(self, source: str) -> float:
        """A module's log speedup; minus infinity where it failed."""
        return self.entries[tuple(values(source).values())].log

    def at(self, point: Point) -> str:
        """The module at a point."""
        names = [parameter.name for parameter in parameters(self.source)]
        return with_values(self.source, dict(zip(names, point, strict=True)))

    def judged(self, source: str, rng: random.Random, *, pairs: int = 0) -> Evaluation:
        """An evaluation as a judge might have given it.

        Args:
            source: The module.
            rng: Draws the measurement and its rounds.
            pairs: Rounds, drawn from all measurements; 0: those of one, as many as it has.
        """
        entry = self.entries[tuple(values(source).values())]
        if not entry.log_ratios:
            return Evaluation(entry.outcome, diagnostics=entry.text, device_s=entry.device_s)
        if pairs:
            rounds = [rng.choice(rng.choice(entry.log_ratios)) for _ in range(pairs)]
        else:
            one = rng.choice(entry.log_ratios)
            rounds = rng.choices(one, k=len(one))
        speedup = statistics.speedup(rounds, luck=statistics.luck(self.device, 1.0))
        timing = Timing("workload", "baseline", 1 / speedup.value, 1.0, speedup, tuple(rounds))
        return Evaluation(
            Outcome.PASSED, 1, 1, timings=(timing,), speedup=speedup, device_s=entry.device_s
        )


def load(path: Path) -> Table:
    """Read a packed table (`.json.xz`)."""
    data = json.loads(lzma.decompress(path.read_bytes()))
    names, found = list(data["choices"]), {}
    for entry in data["points"]:
        point = tuple(data["choices"][n][at] for n, at in zip(names, entry["ranks"], strict=True))
        rounds = tuple(tuple(r / 1e4 for r in one) for one in entry["log_ratios"])
        found[point] = entry_of(
            Outcome(entry["outcome"]),
            entry.get("text", ""),
            rounds,
            entry["device_s"],
            entry["log"] / 1e4 if "log" in entry else None,
        )
    return Table(data["source"], data["device"], found)


def of_landscape(path: Path) -> dict[str, Table]:
    """The skeletons of a landscape (`.npz`) as tables of their own, by their edits.

    There every point was measured once: what processes differ by is not in it.
    """
    from fitness.landscape.table import load as load_landscape

    landscape = load_landscape(path)
    arrays, found = landscape.arrays, {}
    texts = landscape.about["texts"]
    for number, variant in enumerate(landscape.variants):
        entries = {}
        for row in (arrays["variant"] == number).nonzero()[0].tolist():
            ratios = arrays["log_ratios"][row]
            outcome = Outcome(landscape.outcomes[arrays["outcome"][row]])
            rounds = tuple(float(r) for r in ratios if not math.isnan(r))
            entries[tuple(landscape.values(row).values())] = entry_of(
                outcome,
                texts[arrays["text"][row]],
                (rounds,) if outcome is Outcome.PASSED else (),
                float(arrays["device_s"][row]),
            )
        name = "+".join((landscape.name, *variant.edits))
        found[name] = Table(variant.source, landscape.device, entries)
    return found


def joined(path: Path, fewest: int) -> dict[str, Table]:
    """Larger tables from a landscape: its variants with the same parameters, edits as flags.

    What was not measured counts as failed.

    Args:
        path: The landscape (`.npz`).
        fewest: Points that a table must have.

    Returns:
        Tables whose modules are no more than marked values, by the edits that all variants have.
    """
    found, alike = {}, defaultdict[str, dict[frozenset[str], Table]](dict)
    for name, table in of_landscape(path).items():
        marks = "".join(
            f"{p.name} = {p.choices[0]!r}  # tune: {', '.join(map(repr, p.choices))}\n"
            for p in parameters(table.source)
        )
        alike[marks][frozenset(name.split("+"))] = table
    for marks, tables in alike.items():
        common = frozenset.intersection(*tables)
        flags = sorted(frozenset.union(*tables) - common)
        source = "".join(f"{flag} = False  # tune: False, True\n" for flag in flags) + marks
        missing = entry_of(Outcome.RUNTIME_ERROR, "not measured", (), 1.0)
        points = itertools.product(*(p.choices for p in parameters(source)))
        entries = dict.fromkeys(points, missing) | {
            (*(flag in edits for flag in flags), *point): entry
            for edits, table in tables.items()
            for point, entry in table.entries.items()
        }
        if len(entries) >= fewest:
            device = next(iter(tables.values())).device
            found["+".join((*sorted(common), "any"))] = Table(source, device, entries)
    return found


def pack(header: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> bytes:
    """A table as the bytes of its file, from what was measured, in any order."""
    source = header["source"]
    choices = {p.name: list(p.choices) for p in parameters(source)}
    grouped: dict[Point, list[Mapping[str, Any]]] = {}
    quiet: dict[Point, float] = {}
    for record in records:
        if "quickest_ms" in record:
            point = tuple(record["point"])
            quiet[point] = min(record["quickest_ms"], quiet.get(point, math.inf))
        else:
            grouped.setdefault(tuple(record["point"]), []).append(record)
    baseline_ms = quiet.get((), 0.0)
    points = []
    for point, mine in sorted(grouped.items(), key=lambda item: str(item[0])):
        passed = [r for r in mine if r["log_ratios"]]
        entry: dict[str, Any] = {
            "ranks": [own.index(v) for own, v in zip(choices.values(), point, strict=True)],
            "outcome": mine[-1]["outcome"] if not passed else "passed",
            "log_ratios": [[round(x * 1e4) for x in r["log_ratios"]] for r in passed],
            "device_s": round(stdlib.fmean(r["device_s"] for r in mine), 3),
        }
        if not passed:
            entry["text"] = mine[-1]["text"]
        elif point in quiet:
            entry["log"] = round(math.log(baseline_ms / quiet[point]) * 1e4)
        points.append(entry)
    data = {**header, "choices": choices, "points": points}
    return lzma.compress(json.dumps(data, separators=(",", ":")).encode(), preset=9)


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a table is measured on: the kernel's problem, its workload, the baseline."""

    problem: Path
    workload: str
    baseline: str
    language: str


_ROOT = Path(__file__).resolve().parents[1]
KERNELS = {
    "conv1d_blocked": _Measured(
        _ROOT / "experiments/problems/conv1d.py", "fp32_b8", "eager", "cpp"
    ),
}


def measure(name: str, records: Path, *, times: int, best: int = 0) -> None:
    """Measure every point, appending to a file of lines; goes on where it stopped.

    Args:
        name: Of a kernel in this folder.
        records: The file.
        times: How often each point is measured; in an order of its own every time.
        best: So many of the best points alone are measured so often; 0: all.
    """
    from evo.experiment import cache_dir
    from fitness.pool import LocalPool
    from fitness.spec import EvaluationSpec

    kernel = KERNELS[name]
    spec = EvaluationSpec(
        problem=kernel.problem,
        cache_dir=cache_dir(),
        workloads=(kernel.workload,),
        baselines=(kernel.baseline,),
        seeds=1,
        timing_budget_s=0.3,
        give_up_below=0.0,
    )
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    names = [parameter.name for parameter in parameters(source)]
    todo = list(_todo(source, _read(records), times, best))
    pending: deque[tuple[int, Point, Future[Evaluation]]] = deque()
    with LocalPool(spec) as pool, records.open("a", encoding="utf-8") as file:
        pool.measure_baselines()
        for number, (turn, point) in enumerate(todo):
            module = with_values(source, dict(zip(names, point, strict=True)))
            candidate = Candidate(number, module, kernel.language)
            pending.append((turn, point, pool.submit(candidate)))
            while len(pending) > (2 * spec.workers if number < len(todo) - 1 else 0):
                file.write(json.dumps(_record(*pending.popleft())) + "\n")
                file.flush()


def measure_quiet(name: str, records: Path, *, rounds: int) -> None:
    """Note the quickest call of every point and of the baseline, in this process.

    Only for kernels of our own: nothing confines them here.

    Args:
        name: Of a kernel in this folder, whose points have been built by `measure`.
        records: Where it is appended, the baseline as the point ().
        rounds: Through all points, each time in another order.
    """
    import torch

    torch.set_num_threads(1)
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    problem = runpy.run_path(str(KERNELS[name].problem))
    arguments = problem["get_init_inputs"]()
    inputs = problem["get_inputs"](**problem["WORKLOADS"][KERNELS[name].workload])
    baseline = problem["Model"](*arguments)
    names = [parameter.name for parameter in parameters(source)]
    models: dict[Point, Any] = {(): baseline}
    for point in itertools.product(*(p.choices for p in parameters(source))):
        space: dict[str, Any] = {"__name__": name}
        exec(with_values(source, dict(zip(names, point, strict=True))), space)
        models[point] = space["ModelNew"](*arguments)
        models[point].load_state_dict(baseline.state_dict())
    quickest = dict.fromkeys(models, math.inf)
    with torch.no_grad():
        for turn in range(rounds):
            order = list(models)
            random.Random(turn).shuffle(order)
            for point in order:
                models[point](*inputs)
                for _ in range(_CALLS):
                    start = time.perf_counter()
                    models[point](*inputs)
                    quickest[point] = min(quickest[point], (time.perf_counter() - start) * 1e3)
    with records.open("a", encoding="utf-8") as file:
        for point, ms in quickest.items():
            file.write(json.dumps({"point": point, "quickest_ms": round(ms, 6)}) + "\n")


def _todo(
    source: str, done: Sequence[Mapping[str, Any]], times: int, best: int
) -> Iterator[tuple[int, Point]]:
    medians: dict[Point, list[float]] = {}
    judged = [record for record in done if "pass" in record]
    for record in judged:
        found = medians.setdefault(tuple(record["point"]), [])
        if record["log_ratios"]:
            found.append(stdlib.median(record["log_ratios"]))
    known = {(record["pass"], tuple(record["point"])) for record in judged}
    among: list[Point] = list(itertools.product(*(p.choices for p in parameters(source))))
    if best:
        good = [point for point in among if medians.get(point)]
        among = sorted(good, key=lambda point: -stdlib.median(medians[point]))[:best]
    for turn in range(times):
        order = list(among)
        random.Random(turn).shuffle(order)
        yield from ((turn, point) for point in order if (turn, point) not in known)


def _record(turn: int, point: Point, future: Future[Evaluation]) -> dict[str, Any]:
    found = future.result()
    return {
        "pass": turn,
        "point": point,
        "outcome": str(found.outcome),
        "text": found.diagnostics[:300],
        "log_ratios": [round(r, 5) for t in found.timings for r in t.log_ratios],
        "device_s": found.device_s,
    }


def _read(records: Path) -> list[dict[str, Any]]:
    if not records.exists():
        return []
    return [json.loads(line) for line in records.read_text(encoding="utf-8").splitlines()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a kernel's table and pack it; returns 0."""
    from evo.facts import machine_facts

    parser = argparse.ArgumentParser(prog="benchmarks.tables", description=__doc__)
    parser.add_argument("name", choices=list(KERNELS))
    parser.add_argument("--times", type=int, default=3, help="measurements of each point")
    parser.add_argument("--best", type=int, default=0, help="of the best so many alone")
    parser.add_argument("--quiet", type=int, default=0, help="rounds through all points")
    parser.add_argument("--records", type=Path, help="lines of what is measured (runs/...)")
    options = parser.parse_args(arguments)
    records = options.records or Path("runs/tables") / f"{options.name}.jsonl"
    records.parent.mkdir(parents=True, exist_ok=True)
    measure(options.name, records, times=options.times, best=options.best)
    if options.quiet:
        measure_quiet(options.name, records, rounds=options.quiet)
    kernel = KERNELS[options.name]
    header = {
        "device": "cpu",
        "problem": kernel.problem.name,
        "workload": kernel.workload,
        "baseline": kernel.baseline,
        "machine": machine_facts("cpu", threads=1),
        "source": (FOLDER / f"{options.name}.py").read_text(encoding="utf-8"),
    }
    file = FOLDER / f"{options.name}.json.xz"
    file.write_bytes(pack(header, _read(records)))
    print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
