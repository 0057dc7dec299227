"""Operators that do a known sequence of edits at once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from operators.structural.triton.base import Edit, TritonOperator
from operators.structural.triton.launch import LAST_FASTEST
from operators.structural.triton.packing import SCALARS_OUTERMOST
from operators.structural.triton.tree import View


@dataclass(frozen=True, slots=True)
class Step:
    """One edit of a recipe.

    Attributes:
        operator: Name of the operator.
        wanted: What the edit's note has to contain.
        chance: How often the step is taken where it applies; None when the recipe fails without.
    """

    operator: str
    wanted: str = ""
    chance: float | None = None


_RESIDENT = (
    Step("triton_pack_operand", SCALARS_OUTERMOST, 0.9),
    Step("triton_persistent", LAST_FASTEST, 0.9),
    Step("triton_persistent", chance=1.0),
    Step("triton_hoist", "out of the visit"),
)
_FIRST = Step("triton_loads_first", chance=0.6)
# Names of recipes, as their notes begin, with their steps. The last counts most.
RECIPES: dict[str, tuple[Step, ...]] = {
    "operand kept": _RESIDENT,
    "operand kept, loads first": (*_RESIDENT, _FIRST),
    "operand kept, rows in pairs": (
        Step("triton_fit_last_tile", chance=0.9),
        Step("triton_interchange", chance=0.9),
        *_RESIDENT,
        Step("triton_pair_loads"),
        _FIRST,
    ),
}
SPLIT_RECIPES: dict[str, tuple[Step, ...]] = {
    "products in parts": (
        Step("triton_fit_last_tile", chance=0.3),
        Step("triton_interchange", chance=0.5),
        Step("triton_pack_operand", SCALARS_OUTERMOST, 0.8),
        Step("triton_persistent", chance=0.2),
        Step("triton_dot_precision", "x3 products"),
    ),
}


class Recipes(TritonOperator):
    """A sequence of edits that pay together: what all tiles share is loaded once per program.

    Persistent programs, operands hoisted out of the loop over tiles (packed before the launch where
    that makes their loads contiguous), and the other loads put first; where rows are shifted, also
    loaded in pairs. Each of these alone often loses. May break whatever its edits may break.
    """

    name = "triton_recipe"
    weight = 6.0
    recipes = RECIPES

    def __init__(self, operators: Sequence[TritonOperator]) -> None:
        self._operators = {operator.name: operator for operator in operators}

    def edits(self, view: View) -> Iterator[Edit]:
        """The edits of the operators that recipes use; `apply` takes several."""
        for name in sorted({s.operator for steps in self.recipes.values() for s in steps}):
            yield from self._operators[name].edits(view)

    def apply(
        self, source: str, rng: random.Random, wanted: str | None = None
    ) -> tuple[str, str] | None:
        """The module after a recipe and the notes of its edits, or None when none applies.

        Args:
            source: A candidate's source.
            rng: Chooses the recipe, places, and optional steps to leave out.
            wanted: Take only recipes whose name contains this, with every optional step.
        """
        # The last is the most specific: tried twice as often as the others together.
        others = len(self.recipes) - 1
        left = dict(zip(self.recipes, [*(1 for _ in range(others)), 2 * others or 1], strict=True))
        while left:
            name = rng.choices(list(left), list(left.values()))[0]
            del left[name]
            if wanted is None or wanted in name:
                result = self._cook(self.recipes[name], source, rng, sure=wanted is not None)
                if result is not None:
                    return result[0], f"{name}: {result[1]}"
        return None

    def _cook(
        self, steps: Sequence[Step], source: str, rng: random.Random, *, sure: bool
    ) -> tuple[str, str] | None:
        notes: list[str] = []
        for step in steps:
            if step.chance is not None and not (sure or rng.random() < step.chance):
                continue
            result = self._operators[step.operator].apply(source, rng, step.wanted or None)
            if result is not None:
                source = result[0]
                notes.append(result[1])
            elif step.chance is None:
                return None
        return source, "; ".join(notes)


class SplitProducts(Recipes):
    """Float32 products on tensor cores in three parts each, on an operand packed for them.

    Parts alone often lose: unpacked, the loads stay what takes the time. Loses accuracy as
    `triton_dot_precision` does (about 3e-6 of a sum with bfloat16 parts); float16 products stay.
    """

    name = "triton_split_products"
    weight = 2.0
    recipes = SPLIT_RECIPES
