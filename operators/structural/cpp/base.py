"""What all C++ operators share: finding places, choosing one, editing, checking the result."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from operators.operator import Inapplicable, Situation, Variation
from operators.structural.cpp import ir
from operators.structural.cpp.analysis import View
from operators.structural.cpp.tidy import code_size, tidy
from operators.structural.cpp.tree import Unsupported
from operators.structural.cpp.unit import Unit
from populations.kernel import Kernel
from populations.source import CppSource, cpp_sources, replace_cpp

_TRIES = 4
# Statements after all unrolling, with every launch parameter at its greatest.
_MOST_CODE = 3000


@dataclass(frozen=True, slots=True)
class Site:
    """One place where an operator could act, and how.

    Attributes:
        note: What it would do, in one line; the same source gives the same notes.
        weight: Relative chance of being chosen, above 0.
        edit: Changes the unit's trees. May raise Unsupported, which ends the attempt.
    """

    note: str
    weight: float
    edit: Callable[[], None]


class CppOperator(ABC):
    """An operator on the statement trees of a candidate's C++ text.

    A subclass lists the places where it applies; this class chooses one at random by weight, edits,
    parses the result again and puts it back into the module.

    Attributes:
        name: Name in the store and in the experiment file.
        weight: Suggested relative frequency in a search; 1.0 is ordinary.
    """

    name: ClassVar[str]
    weight: ClassVar[float] = 1.0

    @property
    def arity(self) -> int:
        """One parent."""
        return 1

    @abstractmethod
    def sites(self, view: View) -> list[Site]:
        """Every place in one function where the operator applies, in source order."""

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Variation | Inapplicable:
        """Edit one place of the first parent's C++ text; `Inapplicable` when there is none."""
        result = self.apply(parents[0].source, situation.rng)
        if result is None:
            return Inapplicable(f"{self.name}: no place in this kernel")
        return Variation(source=result[0], note=result[1])

    def apply(
        self, module: str, rng: random.Random, wanted: str | None = None
    ) -> tuple[str, str] | None:
        """The edited module and a note, or None when nothing applies.

        Args:
            module: A candidate's source.
            rng: Chooses the place.
            wanted: Take the place with this note if there is one, and some other place if not.
        """
        try:
            embedded = cpp_sources(module)
        except (SyntaxError, ValueError, RecursionError):
            return None
        for source in rng.sample(embedded, len(embedded)):
            result = self._apply(source, rng, wanted)
            if result is not None and result[0] != source.text:
                try:
                    return replace_cpp(module, source, result[0]), result[1]
                except ValueError:
                    continue
        return None

    def _apply(
        self, source: CppSource, rng: random.Random, wanted: str | None
    ) -> tuple[str, str] | None:
        refused: set[str] = set()
        for _ in range(_TRIES):
            try:
                unit = Unit(source.text)
                found = [s for s in self.all_sites(unit) if s.note not in refused]
                if not found:
                    return None
                exact = [s for s in found if s.note == wanted]
                site = exact[0] if exact else rng.choices(found, [s.weight for s in found])[0]
                refused.add(site.note)
                site.edit()
                tidy(unit)
                if code_size(unit) > _MOST_CODE:
                    raise Unsupported("too much code for a compiler to be quick with")
                return unit.render(), site.note
            except (Unsupported, RecursionError):
                continue
        return None

    def all_sites(self, unit: Unit, views: Sequence[View] = ()) -> list[Site]:
        """Places in every function of a unit, each note once.

        `views` of its functions save taking them anew; no edit may have been made since.
        """
        found: dict[str, Site] = {}
        for view in views or [View(unit, function) for function in unit.functions]:
            for site in self.sites(view):
                note, count = site.note, 2
                while note in found:
                    note, count = f"{site.note} ({count})", count + 1
                found[note] = Site(note, site.weight, site.edit)
        return list(found.values())


def element_type(view: View, name: str) -> str:
    """Element type of an array or pointer: "float". Raises Unsupported when it is not declared."""
    text = view.function.params.get(name)
    if text is None:
        for statement in ir.walk(view.function.body):
            if isinstance(statement, ir.Decl) and statement.name == name:
                return statement.scalar_type
        raise Unsupported(f"{name} is not declared here")
    for word in ("__restrict__", "__restrict", "const", "*", "[]"):
        text = text.replace(word, " ")
    return " ".join(text.split()[:-1])


def describe(view: View, loop: ir.For) -> str:
    """A loop's name for notes: its variable, and the variables of the loops around it."""
    around = view.around.get(id(loop), ())
    return loop.var + "".join(f" in {f.var}" for f in reversed(around))
