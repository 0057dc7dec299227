"""An edit in a kernel's past: made on an earlier form, with the later edits repeated on top.

A kernel that has been tiled, unrolled and vectorised no longer shows the plain loops that an
algebraic edit needs. Its ancestors do. This operator reads from the lineage by which edits the
parent came about, puts another edit in between, or leaves one out, and makes the rest again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from operators.operator import Inapplicable, Situation, Variation
from operators.structural.cpp.analysis import View
from operators.structural.cpp.schedule import Made, Schedules, Step
from operators.structural.cpp.tree import Unsupported
from operators.structural.cpp.unit import Unit
from populations.kernel import Kernel
from populations.source import cpp_sources

_TRIES = 3
_DROP = 0.2
# How much likelier an edit is chosen that the kernel neither has behind it nor allows anywhere.
_SHUT_OUT = 8.0


class Replay:
    """Change the schedule of edits that led to a kernel: put one in, or leave one out.

    An edit is put in only where the kernel itself no longer allows it. Edits that find their place
    again are made there, others in the likeliest place, and those that no longer apply are left
    out; launch parameters keep the parent's values. The note holds the whole new schedule, so a
    result can be changed in the same way. What it may break: nothing that its edits do not break.
    """

    name: ClassVar[str] = "cpp_replay"
    weight: ClassVar[float] = 0.15

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules
        self._operators = schedules.operators

    @property
    def arity(self) -> int:
        """One parent; how it came about is in the lineage."""
        return 1

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Variation | Inapplicable:
        """Change the parent's schedule; `Inapplicable` when it has none or nothing fits."""
        parent, rng = parents[0], situation.rng
        root, steps = self._schedules.read(parent, situation.lineage)
        if not steps:
            return Inapplicable(f"{self.name}: the kernel has no edits behind it")
        if len(steps) > 1 and rng.random() < _DROP:
            place = rng.randrange(len(steps) - 1)
            made = self._schedules.make(root.source, [*steps[:place], *steps[place + 1 :]], rng)
        else:
            made = self._put_in(parent, root, steps, rng)
        if made is None or made.source == parent.source:
            return Inapplicable(f"{self.name}: no other schedule found")
        return made.variation(root, parent)

    def _put_in(
        self, parent: Kernel, root: Kernel, steps: list[Step], rng: random.Random
    ) -> Made | None:
        """The parent's edits with one more that is only possible in between."""
        forms = self._schedules.forms(root.source, steps, rng)
        closed = self._offers(parent.source)
        used = {step.operator for step in steps}
        made = {(step.operator, step.note) for step in steps}
        for place in rng.sample(range(len(forms)), min(len(forms), _TRIES)):
            offers = self._offers(forms[place])
            new = {
                name: sorted(n for n in notes - closed.get(name, set()) if (name, n) not in made)
                for name, notes in offers.items()
            }
            names = [name for name, notes in new.items() if notes]
            if names:
                shut_out = {n for n in names if n not in used and not closed.get(n)}
                weights = [
                    self._operators[name].weight * (_SHUT_OUT if name in shut_out else 1.0)
                    for name in names
                ]
                name = rng.choices(names, weights)[0]
                step = Step(name, rng.choice(new[name]))
                changed = [*steps[:place], step, *steps[place:]]
                return self._schedules.make(root.source, changed, rng)
        return None

    def _offers(self, module: str) -> dict[str, set[str]]:
        """What each operator could do on a module, as notes."""
        found: dict[str, set[str]] = {}
        try:
            for source in cpp_sources(module):
                unit = Unit(source.text)
                views = [View(unit, function) for function in unit.functions]
                for name, operator in self._operators.items():
                    sites = operator.all_sites(unit, views)
                    found.setdefault(name, set()).update(site.note for site in sites)
        except (SyntaxError, ValueError, Unsupported, RecursionError):
            return {}
        return found
