"""The one interface by which new kernels arise."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from populations.kernel import Kernel
from populations.lineage import Lineage


@dataclass(frozen=True, slots=True)
class Variation:
    """A new kernel's text as an operator proposes it.

    Attributes:
        source: The whole module.
        note: What was done, in one line, for the lineage and for people.
        language: Set when the operator changed it; None keeps the first parent's.
    """

    source: str
    note: str
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Inapplicable:
    """The operator had nothing to do on these parents; not an error, costs no evaluation."""

    reason: str


@dataclass(frozen=True, slots=True)
class Situation:
    """What an operator may look at besides its parents.

    Attributes:
        lineage: Every kernel judged so far, failures included, with its ancestry. Read only.
        rng: The proposal's own random generator; the only source of randomness an operator uses.
        device: "cpu" or "cuda".
    """

    lineage: Lineage
    rng: random.Random
    device: str


class Operator(Protocol):
    """Makes a new kernel from judged ones: mutation, crossover or tuning.

    Called once per proposal, in proposal order, in the search's own process; must not run, build
    or import a candidate, nor read a clock, a file or the environment: the same parents and the
    same situation give the same variation. `vary` never raises for a parent it cannot handle (odd
    or broken source included): it returns `Inapplicable`.
    """

    @property
    def name(self) -> str:
        """Unique, stable, snake_case: stands in the store and in the experiment file."""

    @property
    def arity(self) -> int:
        """How many parents `vary` takes: 1 or 2."""

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Variation | Inapplicable:
        """Propose one variation of `parents` (best first), or say why there is none."""
