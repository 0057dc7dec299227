"""Evaluations per second, and the CPU seconds of each, all processes counted."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import startup, trivial
from benchmarks.tree import CpuByPart, LoadWatch, cpu_by_part, cpu_s
from evo.events import Event, Judged
from populations.store import Store

# Where the rate is looked at on the way.
MARKS = (200, 250, 500, 1000, 2000, 5000)
_STARTS = 9


@dataclass(frozen=True, slots=True)
class _Look:
    """What had been used when so many candidates were judged."""

    judged: int
    wall_s: float
    cpu_s: float
    parts: CpuByPart


class _Watch:
    """Takes a look at every mark; candidates are told of in the order of their proposals."""

    def __init__(self, marks: Sequence[int], workers: int) -> None:
        self._marks = set(marks)
        self._workers = workers
        self._began = time.monotonic()
        self._judged = 0
        self.outcomes: dict[str, int] = {}
        self.looks: list[_Look] = []

    def begin(self) -> None:
        """The search is about to run."""
        self._began = time.monotonic()
        self.look()

    def look(self) -> None:
        wall_s = time.monotonic() - self._began
        parts = cpu_by_part(os.getpid(), workers=self._workers)
        self.looks.append(_Look(self._judged, wall_s, cpu_s(os.getpid()), parts))

    def notify(self, event: Event) -> None:
        """Count what was judged; the seed was before."""
        if isinstance(event, Judged) and event.kernel.candidate.parents:
            self._judged += 1
            outcome = str(event.kernel.evaluation.outcome)
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
            if self._judged in self._marks:
                self.look()


def measure(candidates: int) -> dict[str, Any]:
    """Search for so many candidates in a new run; the seed is judged before the clock starts.

    Returns:
        JSON-able: `rates` (judged -> per second from the start), `last_rate` (of the stretch
        behind the last mark but one), `cpu_s` and `cpu_s_by_part` per candidate, the load, and
        `python_s`, by which two machines or two minutes of one may be compared.
    """
    experiment = trivial.config()
    marks = sorted({m for m in MARKS if m < candidates} | {candidates})
    watch = _Watch(marks, experiment.evaluation.workers)
    python_s = _python_s()
    with tempfile.TemporaryDirectory(prefix="evo-bench-") as folder:
        text, fingerprint = experiment.text, experiment.fingerprint()
        with (
            trivial.ready_pool(experiment) as (pool, seeds),
            Store.create(Path(folder), experiment=text, fingerprint=fingerprint) as store,
        ):
            layers = {name: str(layer) for name, layer in pool.layers().items()}
            total = candidates + len(seeds)
            search = trivial.build(experiment, pool, store, evaluations=total, observer=watch)
            load = LoadWatch()
            watch.begin()
            search.run(seeds)
            seen = load.read()
    first, last = watch.looks[0], watch.looks[-1]
    judged = last.judged
    parts = last.parts.since(first.parts)
    return {
        "candidates": judged,
        "wall_s": last.wall_s,
        "rates": {look.judged: look.judged / look.wall_s for look in watch.looks[1:]},
        "last_rate": _rate(watch.looks[-2], last),
        "cpu_s": (last.cpu_s - first.cpu_s) / judged,
        "cpu_s_last": (last.cpu_s - watch.looks[-2].cpu_s) / (judged - watch.looks[-2].judged),
        "cpu_s_by_part": {
            name: {"user": user / judged, "system": system / judged}
            for name, (user, system) in parts.items()
        },
        "outcomes": watch.outcomes,
        "load_average": seen.average,
        "others_share": seen.others_share,
        "confinement": layers,
        "python_s": statistics.median([*python_s, *_python_s()]),
    }


def _python_s() -> list[float]:
    """How long Python takes to begin, at this moment: seconds of several starts."""
    found = startup.measure(_STARTS, {"python": startup.COMMANDS["python"]})
    times: list[float] = found["python"]["all_s"]
    return times


def _rate(earlier: _Look, later: _Look) -> float:
    return (later.judged - earlier.judged) / (later.wall_s - earlier.wall_s)
