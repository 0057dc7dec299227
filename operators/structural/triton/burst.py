"""The operator that makes several edits at once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from operators.structural.triton.base import Edit, TritonOperator
from operators.structural.triton.tree import View


class Burst(TritonOperator):
    """Two to four edits by other operators, one after the other, as one variation.

    Crosses stretches where each edit alone gains nothing: a persistent loop pays only once the
    loads that all tiles share are hoisted out of it. May break whatever its edits may break.
    """

    name = "triton_burst"
    weight = 2.0

    def __init__(self, operators: Sequence[TritonOperator]) -> None:
        self._operators = tuple(operators)

    def edits(self, view: View) -> Iterator[Edit]:
        """Every edit of its operators; `apply` takes several."""
        for operator in self._operators:
            yield from operator.edits(view)

    def apply(
        self, source: str, rng: random.Random, wanted: str | None = None
    ) -> tuple[str, str] | None:
        """The module after several edits and their notes, or None when fewer than two apply.

        Args:
            source: A candidate's source.
            rng: Chooses operators and places.
            wanted: Every edit's note has to contain this.
        """
        notes: list[str] = []
        length = rng.choice((2, 2, 3, 4))
        for _ in range(4 * length):
            operator = rng.choices(self._operators, [o.weight for o in self._operators])[0]
            result = operator.apply(source, rng, wanted)
            if result is not None:
                source = result[0]
                notes.append(result[1])
            if len(notes) == length:
                break
        return (source, "; ".join(notes)) if len(notes) > 1 else None
