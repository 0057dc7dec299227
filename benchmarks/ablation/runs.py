"""One search over a table in this process, and whom it would have named after each evaluation."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.ablation.arms import ARMS, ENDS, EXPERIMENT, SAMPLING
from evo.config import Config, load_config
from evo.events import Event, Judged, Remeasured
from evo.landscape import device_of, judge_of, landscape_of, seed_of
from populations.kernel import Candidate, Kernel
from populations.statistics import Progress
from populations.store import Store

if TYPE_CHECKING:
    from evo.search import Search
    from fitness.landscape.table import Landscape

# Where stores of runs that nobody keeps go; None: the usual place.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@dataclass(frozen=True, slots=True)
class Task:
    """One run.

    Attributes:
        table: The landscape's file.
        arm: Name of the arm.
        seed: Of the search.
        evaluations: Budget.
    """

    table: Path
    arm: str
    seed: int
    evaluations: int

    @property
    def config(self) -> Config:
        """The experiment; of an end, only what it shares with a search."""
        settings = (
            f"evaluation.landscape={str(self.table)!r}",
            f"search.seed={self.seed}",
            f"budget.evaluations={self.evaluations}",
            *ARMS[self.arm].settings,
        )
        return load_config(EXPERIMENT, settings)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run found.

    Attributes:
        landscape: Name of its table's file.
        arm: Name of the arm.
        seed: Of the search.
        budget: Evaluations that it might have spent.
        spent: Those that it spent.
        champions: (after so many evaluations, row of the table that was champion from then on).
        ended: Why it ended, where it was not the budget.
        fingerprint: Of the experiment and its table.
        wall_s: How long it took.
    """

    landscape: str
    arm: str
    seed: int
    budget: int
    spent: int
    champions: tuple[tuple[int, int], ...]
    ended: str
    fingerprint: str
    wall_s: float


class Watch:
    """Notes each change of champion; the evaluations are the search's own count."""

    def __init__(self, table: Landscape) -> None:
        self.search: Search | None = None
        self.champions: list[tuple[int, int]] = []
        self.spent = 0
        self._table = table

    def notify(self, event: Event) -> None:
        """Look at the champion whenever something was judged."""
        if not isinstance(event, Judged | Remeasured) or self.search is None:
            return
        self.spent = event.spent.evaluations
        self.see(self.search.champion)

    def see(self, champion: Kernel | None) -> None:
        """The champion after `spent` evaluations."""
        row = self._table.row(champion.source) if champion else None
        if row is not None and (not self.champions or self.champions[-1][1] != row):
            self.champions.append((self.spent, row))


def run(task: Task) -> Run:
    """Carry out one run; the same task gives the same champions."""
    began, config = time.monotonic(), task.config
    with judge_of(config, device_of(config)) as pool:
        table = landscape_of(config)
        assert table is not None  # noqa: S101 - the task names one
        watch = Watch(table)
        if task.arm in ENDS:
            ended = _drawn(task, table, watch)
        else:
            ended = _searched(config, pool, table, watch)
    return Run(
        landscape=task.table.stem,
        arm=task.arm,
        seed=task.seed,
        budget=task.evaluations,
        spent=watch.spent,
        champions=tuple(watch.champions),
        ended="" if watch.spent >= task.evaluations else ended,
        fingerprint=config.fingerprint(),
        wall_s=round(time.monotonic() - began, 2),
    )


def _searched(config: Config, pool: Any, table: Landscape, watch: Watch) -> str:
    from evo.experiment import build_search

    with (
        tempfile.TemporaryDirectory(prefix="evo-ablation-", dir=MEMORY) as folder,
        Store.create(
            Path(folder), experiment=config.text, fingerprint=config.fingerprint()
        ) as store,
    ):
        search = build_search(config, device_of(config), pool, store, watch)
        watch.search = search
        seed = seed_of(table)
        return search.run([Kernel(seed, pool.evaluate_once(seed))])


def _drawn(task: Task, table: Landscape, watch: Watch) -> str:
    """No search: points of the table as they come, the champion by the search's own rule."""
    from fitness.landscape.evaluator import TableEvaluator

    evaluator, progress = TableEvaluator(table, seed=task.seed), Progress()
    for number, row in enumerate(_order(task, table)):
        candidate = Candidate(number, table.source(row), table.language)
        progress.insert(Kernel(candidate, evaluator.evaluate(candidate)))
        watch.spent = number + 1
        watch.see(progress.champion)
    return "every point was measured"


def _order(task: Task, table: Landscape) -> Iterator[int]:
    """The seed first, as in a search."""
    rng = random.Random(f"{task.seed}:{task.arm}")
    rows = [row for row in range(len(table)) if row != table.seed]
    count = task.evaluations - 1
    yield table.seed
    if task.arm == SAMPLING:
        yield from rng.choices(rows, k=count)
    else:
        yield from rng.sample(rows, min(count, len(rows)))
