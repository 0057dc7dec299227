"""The trivial experiment: its problem, its seed, and a search with an operator that renumbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evo.budget import Budget
from evo.config import Config, load_config
from evo.events import Event
from operators.operator import Inapplicable, Situation, Variation
from populations.kernel import Kernel

if TYPE_CHECKING:
    from evo.events import Observer
    from evo.search import Search
    from fitness.pool import LocalPool
    from populations.store import Store

EXPERIMENT = Path(__file__).parent / "experiment.toml"
_VARIANT = re.compile(r"^VARIANT = \d+$", re.MULTILINE)


class Renumber:
    """Gives a kernel another number: every child differs by content and costs the same."""

    name = "renumber"
    arity = 1

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Variation | Inapplicable:
        """Draw a new number."""
        number = situation.rng.getrandbits(60)
        source, count = _VARIANT.subn(f"VARIANT = {number}", parents[0].source)
        return Variation(source, f"variant {number}") if count else Inapplicable("no number")


class Silent:
    """An observer that looks away."""

    def notify(self, event: Event) -> None:
        """Do nothing."""


def config() -> Config:
    """The trivial experiment as a run would read it."""
    return load_config(EXPERIMENT)


@contextmanager
def ready_pool(experiment: Config) -> Iterator[tuple[LocalPool, tuple[Kernel, ...]]]:
    """A pool at work as a run has it when its search begins, and the judged seeds."""
    from evo.experiment import evaluation_spec, seed_candidates
    from fitness.pool import LocalPool

    with LocalPool(evaluation_spec(experiment, "cpu")) as pool:
        seeds = tuple(seed_candidates(experiment, "cpu"))
        yield pool, tuple(map(Kernel, seeds, pool.check(seeds)))


def build(
    experiment: Config,
    pool: LocalPool,
    store: Store,
    *,
    evaluations: int,
    observer: Observer | None = None,
) -> Search:
    """The search of a real run, with the trivial operator in place of all others."""
    from evo.parts import Parts
    from evo.policies import policy
    from evo.search import Search
    from operators.credit import Credit

    operator = Renumber()
    parts = Parts(
        store=store,
        evaluator=pool,
        operators={operator.name: operator},
        structural=frozenset({operator.name}),
        credit=Credit(priors={operator.name: 1.0}),
        policy=policy(experiment),
        observer=observer or Silent(),
    )
    return Search(
        parts,
        budget=Budget(evaluations=evaluations),
        seed=experiment.search.seed,
        in_flight=2 * experiment.evaluation.workers,
        device="cpu",
        edits=experiment.search.edits,
    )
