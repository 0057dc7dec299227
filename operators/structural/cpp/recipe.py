"""Several edits as one, where the parts alone bring little or lose.

Padding alone copies for nothing; vectors alone wait for their own additions; blocked registers
alone stay scalar. Together they are what a compiler textbook does to a loop nest.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from operators.operator import Inapplicable, Situation, Variation
from operators.structural.cpp.analysis import View
from operators.structural.cpp.base import CppOperator, Site
from operators.structural.cpp.schedule import THEN, Schedules
from populations.kernel import Kernel


class Recipe(CppOperator):
    """Apply edits one after the other, each in a place of its own choice.

    Optional edits come along where they apply; without all the others there is no result. Where
    the parent's form no longer allows them they are made on an earlier form of it, and the edits
    that followed are repeated on top. What it may break: what its parts may break.
    """

    steps: ClassVar[tuple[tuple[str, bool], ...]]

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules

    def sites(self, view: View) -> list[Site]:  # noqa: ARG002 - part of the interface
        """A recipe has no places of its own; its parts do."""
        return []

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Variation | Inapplicable:
        """Edit the parent, or an earlier form of it."""
        here = super().vary(parents, situation)
        if isinstance(here, Variation):
            return here
        parent, rng = parents[0], situation.rng
        root, steps = self._schedules.read(parent, situation.lineage)
        made = self._schedules.with_recipe(self, root, steps, rng) if steps else None
        if made is None or made.source == parent.source:
            return here
        return made.variation(root, parent)

    def apply(
        self,
        module: str,
        rng: random.Random,
        wanted: str | None = None,  # noqa: ARG002 - part of the interface
    ) -> tuple[str, str] | None:
        """The module after all edits, and their notes; None when a needed one does not apply."""
        notes = []
        for name, is_needed in self.steps:
            result = self._schedules.operators[name].apply(module, rng)
            if result is not None:
                module = result[0]
                notes.append(f"{name}: {result[1]}")
            elif is_needed:
                return None
        return module, THEN.join(notes)


class BlockedVectors(Recipe):
    """Guards out, a loop into vectors, another one side by side in registers."""

    name: ClassVar[str] = "cpp_blocked_vectors"
    weight: ClassVar[float] = 0.1
    steps = (("cpp_halo_pad", False), ("cpp_explicit_vectors", True), ("cpp_unroll_and_jam", True))


class FilteredVectors(Recipe):
    """A sliding filter with fewer products, its matrix product in vectors and registers."""

    name: ClassVar[str] = "cpp_filtered_vectors"
    weight: ClassVar[float] = 0.1
    steps = (
        ("cpp_halo_pad", False),
        ("cpp_minimal_filtering", True),
        ("cpp_explicit_vectors", True),
        ("cpp_unroll_and_jam", True),
    )


RECIPES = (BlockedVectors, FilteredVectors)
