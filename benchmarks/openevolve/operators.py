"""What both sides propose by: one of a landscape's operators, drawn evenly.

Neither credit nor a tuner's model is at work: what is compared is whom each side breeds from.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from operators.landscape import Crossover, Ground, structural
from operators.operator import Inapplicable, Operator, Situation, Variation
from populations.parameters import parameters, with_values

if TYPE_CHECKING:
    from fitness.landscape.table import Landscape
    from populations.kernel import Kernel


class Nudge:
    """Another choice of one launch parameter, both drawn evenly."""

    name = "tune"
    arity = 1

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Variation | Inapplicable:
        """Draw the parameter and the choice."""
        source = parents[0].source
        found = [p for p in parameters(source) if len(p.choices) > 1]
        if not found:
            return Inapplicable("no launch parameter is marked")
        one = situation.rng.choice(found)
        value = situation.rng.choice([c for c in one.choices if c != one.value])
        return Variation(
            with_values(source, {one.name: value}), f"{one.name} {one.value} to {value}"
        )


def even_operators(table: Landscape) -> dict[str, Operator]:
    """All operators of a landscape, by name."""
    ground = Ground(table)
    common: tuple[Operator, ...] = (Crossover(ground), Nudge())
    return {**structural(table), **{operator.name: operator for operator in common}}


class Even:
    """Stands for `operators.credit.Credit`: every operator has the same chance for ever."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)

    def probabilities(self, among: Collection[str] | None = None) -> Mapping[str, float]:
        """Equal shares."""
        names = [name for name in self._names if among is None or name in among]
        return dict.fromkeys(names, 1 / len(names))

    def choose(self, rng: random.Random, among: Collection[str] | None = None) -> str:
        """Draw a name."""
        return rng.choice(list(self.probabilities(among)))

    def record(self, child: Kernel, parents: Sequence[Kernel], *, asking: float = 0.0) -> None:
        """Nothing is learnt."""

    def miss(self, operator: str, *, asking: float = 0.0) -> None:
        """Nothing is learnt."""
