"""Operators over a measured landscape: steps along the edits that its variants were made of.

They stand for the real structural operators, whose names they have, and answer with the text of a
variant that was measured: nothing is parsed, and what one of them makes can be looked up. Launch
parameters are `operators.tuning`'s business, as in any search.

    Step       makes one more edit of one real operator
    Undo       takes one edit back, and those that need it
    Crossover  what both parents have, and of what one alone has each by the toss of a coin

What edits lead to is a variant only where the real operators made one: with some sets of edits one
of them did not apply.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from operators.operator import Inapplicable, Operator, Situation, Variation
from populations.parameters import adopt, values

if TYPE_CHECKING:
    from populations.kernel import Kernel

# How often a crossover tosses its coins before it gives up.
_TOSSES = 8
_OUTSIDE = "the kernel is of no variant of the landscape"


class Edit(Protocol):
    """What can be done to a variant, or left undone."""

    @property
    def name(self) -> str:
        """Unique within the landscape."""

    @property
    def operators(self) -> tuple[str, ...]:
        """Names of the real operators that make it, in order."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Edits without which there is no variant with this one."""


class Variant(Protocol):
    """The seed after a set of edits."""

    @property
    def edits(self) -> tuple[str, ...]:
        """Their names."""

    @property
    def source(self) -> str:
        """Its module."""


class Lattice(Protocol):
    """What of a landscape operators look at (`fitness.landscape.table.Landscape`)."""

    @property
    def edits(self) -> Sequence[Edit]:
        """In the order in which they are made."""

    @property
    def variants(self) -> Sequence[Variant]:
        """By number; the first is the seed."""

    def variant_of(self, source: str) -> int | None:
        """Number of the variant of which a source is a point."""


class Ground:
    """A lattice with its variants by their edits; all operators of a landscape share one."""

    def __init__(self, lattice: Lattice) -> None:
        self.needs = {edit.name: frozenset(edit.needs) for edit in lattice.edits}
        self._lattice = lattice
        self._by_edits = {
            frozenset(variant.edits): number for number, variant in enumerate(lattice.variants)
        }

    def edits(self, source: str) -> frozenset[str] | None:
        """The edits of the variant that a source is of; None for none."""
        number = self._lattice.variant_of(source)
        return None if number is None else frozenset(self._lattice.variants[number].edits)

    def closed(self, wanted: Iterable[str]) -> frozenset[str]:
        """The largest subset of edits that has all that its edits need."""
        found = frozenset(wanted)
        while missing := [name for name in found if not self.needs[name] <= found]:
            found -= frozenset(missing)
        return found

    def exists(self, edits: frozenset[str]) -> bool:
        """Whether the real operators made a variant of these."""
        return edits in self._by_edits

    def moved(self, edits: frozenset[str], note: str, *parents: str) -> Variation:
        """A variant at the first parent's launch parameters, what that lacks at the next one's."""
        variant = self._lattice.variants[self._by_edits[edits]]
        wanted: dict[str, bool | int | float | str] = {}
        for parent in reversed(parents):
            wanted |= values(parent)
        return Variation(source=adopt(variant.source, wanted), note=note)


class Step:
    """Make one more edit, of those that one real operator makes.

    May break: a point of the variant may have failed, or may lie outside of what was measured.
    """

    arity = 1

    def __init__(self, name: str, edits: Sequence[str], ground: Ground) -> None:
        """Take a share of a landscape's edits.

        Args:
            name: The real operator's.
            edits: Names of the edits that it makes.
            ground: The lattice.
        """
        self.name = name
        self._edits = tuple(edits)
        self._ground = ground

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Variation | Inapplicable:
        """Draw one of the edits that are possible here."""
        source = parents[0].source
        before = self._ground.edits(source)
        if before is None:
            return Inapplicable(_OUTSIDE)
        possible = [
            edit
            for edit in self._edits
            if edit not in before and self._ground.exists(before | {edit})
        ]
        if not possible:
            return Inapplicable("its edits are made, or do not apply here")
        edit = situation.rng.choice(possible)
        return self._ground.moved(before | {edit}, edit, source)


class Undo:
    """Take one edit back, and with it those that need it.

    May break: as a step forwards may.
    """

    name = "undo"
    arity = 1

    def __init__(self, ground: Ground) -> None:
        """Work on a lattice."""
        self._ground = ground

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Variation | Inapplicable:
        """Draw one of the edits of the parent."""
        source = parents[0].source
        before = self._ground.edits(source)
        if before is None:
            return Inapplicable(_OUTSIDE)
        smaller = {edit: self._ground.closed(before - {edit}) for edit in self._ground.needs}
        possible = [e for e, after in smaller.items() if e in before and self._ground.exists(after)]
        if not possible:
            return Inapplicable("there is no edit to take back")
        edit = situation.rng.choice(possible)
        gone = sorted(before - smaller[edit], key=list(self._ground.needs).index)
        return self._ground.moved(smaller[edit], f"without {', '.join(gone)}", source)


class Crossover:
    """Combine two parents' edits: those of both, and each of one alone by the toss of a coin.

    May break: as a step may.
    """

    name = "merge"
    arity = 2

    def __init__(self, ground: Ground) -> None:
        """Work on a lattice."""
        self._ground = ground

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Variation | Inapplicable:
        """Toss until a variant comes out that is neither parent's; rarely there is none."""
        sources = [parent.source for parent in parents[:2]]
        one, two = map(self._ground.edits, sources)
        if one is None or two is None:
            return Inapplicable(_OUTSIDE)
        differing = [name for name in self._ground.needs if name in one ^ two]
        for _ in range(_TOSSES if len(differing) > 1 else 0):
            tossed = {name for name in differing if situation.rng.random() < 0.5}
            child = self._ground.closed((one & two) | tossed)
            if child not in (one, two) and self._ground.exists(child):
                note = f"merged {parents[0].number} and {parents[1].number}"
                return self._ground.moved(child, note, *sources)
        return Inapplicable("no variant lies between the parents")


def structural(lattice: Lattice) -> dict[str, Operator]:
    """Steps and the way back, by name; an edit of several real operators goes by the first one's.

    Args:
        lattice: The landscape.
    """
    ground = Ground(lattice)
    named: dict[str, list[str]] = {}
    for edit in lattice.edits:
        named.setdefault(edit.operators[0], []).append(edit.name)
    steps: dict[str, Operator] = {name: Step(name, edits, ground) for name, edits in named.items()}
    return {**steps, Undo.name: Undo(ground)}


def operators(lattice: Lattice, tune: Operator) -> Mapping[str, Operator]:
    """All operators of a search over a landscape, by name.

    Args:
        lattice: The landscape.
        tune: Who moves along launch parameters.
    """
    made = structural(lattice)
    return {**made, Crossover.name: Crossover(Ground(lattice)), tune.name: tune}
