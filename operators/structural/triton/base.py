"""What all Triton operators share: finding places, choosing one, editing, checking the result."""

from __future__ import annotations

import ast
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from operators.operator import Inapplicable, Situation, Variation
from populations.kernel import Kernel

if TYPE_CHECKING:
    import libcst as cst

    from operators.structural.triton.tree import View

_TRIES = 6


@dataclass(frozen=True, slots=True)
class Edit:
    """One place where an operator could act, and how.

    Attributes:
        note: What it would do, in one line; the same source gives the same notes.
        build: Makes the new module. May raise `tree.Refused`, which ends the attempt.
        weight: Relative chance of being chosen, above 0.
    """

    note: str
    build: Callable[[], cst.Module]
    weight: float = 1.0


class TritonOperator(ABC):
    """An operator on the syntax tree of a Triton candidate, kernels and launching code alike.

    A subclass lists the edits that apply; this class chooses one at random by weight, builds the
    new module and checks that it parses and differs.

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
    def edits(self, view: View) -> Iterator[Edit]:
        """Every edit that seems to apply, in source order."""

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Variation | Inapplicable:
        """Edit one place of the first parent; `Inapplicable` when there is none."""
        parent = parents[0].candidate
        if parent.language != "triton":
            return Inapplicable(f"{self.name}: not a Triton kernel")
        result = self.apply(parent.source, situation.rng)
        if result is None:
            return Inapplicable(f"{self.name}: no place in this kernel")
        return Variation(source=result[0], note=result[1])

    def apply(
        self, source: str, rng: random.Random, wanted: str | None = None
    ) -> tuple[str, str] | None:
        """The edited module and a note, or None when nothing applies.

        Args:
            source: A candidate's source.
            rng: Chooses the place.
            wanted: Take an edit whose note contains this, and none other.
        """
        from operators.structural.triton.tree import Refused

        view = parsed(source)
        if view is None or not view.kernels:
            return None
        edits: list[Edit] = []
        with suppress(Refused):
            edits.extend(self.edits(view))
        if wanted is not None:
            edits = [edit for edit in edits if wanted in edit.note]
        for _ in range(min(_TRIES, len(edits))):
            edit = rng.choices(edits, [e.weight for e in edits])[0]
            edits.remove(edit)
            try:
                text = edit.build().code
            except Refused:
                continue
            if text != source and is_python(text):
                return text, " ".join(edit.note.split())
        return None


def parsed(source: str) -> View | None:
    """The candidate's tree; None for text that is no Python module."""
    import libcst as cst

    from operators.structural.triton.tree import View

    if not is_python(source):
        return None
    try:
        return View(cst.parse_module(source))
    except (cst.ParserSyntaxError, RecursionError, ValueError):
        return None


def is_python(text: str) -> bool:
    """Whether Python's own parser takes the text."""
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
