"""How a kernel came about: the edits in its line, read from the lineage and made again.

In schedule-based compilers (Halide, TVM) the schedule is searched instead of the code; here the
lineage is the schedule. An operator that makes several edits lists them in its note, separated by
`THEN`, each as `name: what it did`; a note that begins with `from #7` starts anew from kernel 7.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from operators.operator import Variation
from operators.structural.cpp.base import CppOperator
from populations.kernel import Kernel
from populations.lineage import Lineage
from populations.parameters import adopt, values

THEN = "; then "
_ROOT = re.compile(r"(?:\w+: )?from #(\d+)")


@dataclass(frozen=True, slots=True)
class Step:
    """One edit of a schedule: the operator's name and what it did, as its note says."""

    operator: str
    note: str


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a schedule: the source, and the edits that were made."""

    source: str
    steps: tuple[Step, ...]

    def variation(self, root: Kernel, parent: Kernel) -> Variation:
        """As a proposal; launch parameters keep the parent's values."""
        done = THEN.join(f"{step.operator}: {step.note}" for step in self.steps)
        source = adopt(self.source, values(parent.source))
        return Variation(source=source, note=f"from #{root.number}{THEN}{done}")


class Schedules:
    """Reads, makes and changes schedules.

    Args:
        operators: The edits that schedules are made of.
        also: Names of operators whose notes list such edits.
    """

    def __init__(self, operators: Sequence[CppOperator], also: Collection[str] = ()) -> None:
        self.operators = {operator.name: operator for operator in operators}
        self._also = frozenset(also)

    def read(self, kernel: Kernel, lineage: Lineage) -> tuple[Kernel, list[Step]]:
        """The kernel that the edits began with, and the edits. Tuning leaves no step."""
        later: list[Step] = []
        while kernel.candidate.parents:
            candidate = kernel.candidate
            words = candidate.note.split(THEN)
            known = candidate.operator in self.operators or candidate.operator in self._also
            roots = [i for i, word in enumerate(words) if _ROOT.fullmatch(word)]
            if known and roots:
                match = _ROOT.fullmatch(words[roots[-1]])
                number = int(match[1]) if match else kernel.number
                words = words[roots[-1] + 1 :]
            else:
                number = candidate.parents[0]
            if candidate.operator != "tune":
                if not known or number >= kernel.number:
                    break
                later = self.steps(words, candidate.operator) + later
            kernel = lineage.get(number)
        return kernel, later

    def steps(self, words: Sequence[str], operator: str) -> list[Step]:
        """The parts of a note of `operator` as steps."""
        found = (self._step(word, operator) for word in words)
        return [step for step in found if step is not None]

    def _step(self, word: str, operator: str) -> Step | None:
        name, _, note = word.partition(": ")
        if name in self._also:
            return self._step(note, operator)
        if name in self.operators:
            return Step(name, note)
        return Step(operator, word) if operator in self.operators else None

    def make(self, source: str, steps: Sequence[Step], rng: random.Random) -> Made | None:
        """Make the edits one after the other; None when none of them could be made.

        An edit that finds its place again is made there, else in the likeliest place; one that no
        longer applies is left out.
        """
        done = []
        for step in steps:
            made = self.operators[step.operator].apply(source, rng, step.note)
            if made is not None:
                source = made[0]
                done.append(Step(step.operator, made[1]))
        return Made(source, tuple(done)) if done else None

    def forms(self, source: str, steps: Sequence[Step], rng: random.Random) -> list[str]:
        """The sources before each of the steps."""
        forms = [source]
        for step in steps[:-1]:
            made = self.operators[step.operator].apply(forms[-1], rng, step.note)
            forms.append(made[0] if made is not None else forms[-1])
        return forms

    def with_recipe(
        self, recipe: CppOperator, root: Kernel, steps: Sequence[Step], rng: random.Random
    ) -> Made | None:
        """The edits with those of a recipe in between, early where possible."""
        places = sorted(rng.randrange(len(steps)) for _ in range(2)) if steps else []
        forms = self.forms(root.source, steps, rng)
        for place in dict.fromkeys((*places, 0)):
            made = recipe.apply(forms[place], rng)
            if made is not None:
                middle = self.steps(made[1].split(THEN), recipe.name)
                return self.make(root.source, [*steps[:place], *middle, *steps[place:]], rng)
        return None
