"""The one interface by which a search decides who lives and who becomes a parent."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from populations.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened on an insertion beside it: the search keeps it as an event.

    Attributes:
        kind: One of `CHANGES`, the event's kind.
        data: What happened, JSON-able; `number` is the kernel on whose insertion it did.
    """

    kind: str
    data: Mapping[str, Any]


# A kernel has been taken up: {"number", "islands": the names of those it was offered to}.
SETTLED = "settled"
# Members were copied: {"number", "from": an island, "to": another, "kernels": those taken in}.
MIGRATION = "migration"
# A fresh island: {"number", "island", "in_place_of", "founders": numbers of its first kernels}.
ISLAND = "island"
# Kinds of events that policies make. A resumed run makes them again, and they are not stored twice.
CHANGES = frozenset({SETTLED, MIGRATION, ISLAND})


class Policy(Protocol):
    """Who lives, and who becomes a parent.

    The search tells it of every proposal, in order, and of what became of each, in the same order;
    results come later than the proposals made meanwhile. All state follows from these calls (and
    from a seed given at construction, for what is drawn beyond choosing parents): a run that is
    resumed makes the same calls again and so rebuilds it. The champion is no policy's business.

    Failed kernels are offered too. Parents are judged kernels that were inserted; those that failed
    only while none has passed.
    """

    @property
    def members(self) -> tuple[Kernel, ...]:
        """The best of those who live, best first: what finalists are taken from. Not too many."""

    def parents(self, count: int, rng: random.Random) -> list[Kernel]:
        """Choose `count` parents for one proposal; called again while an operator has no use.

        Pure: choosing changes nothing, and the same state of policy and `rng` give the same
        parents. They are distinct as long as there are `count` to choose from.

        Raises:
            ValueError: Nothing has been inserted yet.
        """

    def proposed(self, number: int, parents: Sequence[int]) -> None:
        """Hear of a proposal that was really made, with the parents chosen (none for arity 0).

        Not called for seeds. Called before anything else is inserted.
        """

    def insert(self, kernel: Kernel) -> Sequence[Change]:
        """Take in one judged kernel, once, in the order of numbers; what else happened.

        A kernel's parents may be others than those its proposal was made with: an operator that
        repairs finds its own. What is returned must follow from the order of insertions, and from
        what was proposed of the kernels inserted, alone: a run that goes on after its budget was
        raised has made fewer proposals by then.
        """

    def dropped(self, number: int) -> None:
        """Hear that nothing came of a proposal. In the order of numbers, among the insertions."""

    def remeasured(self, kernel: Kernel) -> None:
        """Take a better estimate of an inserted kernel that passed: same candidate, new evaluation.

        A kernel may have failed this time; then it is no parent any more, unless no other is left.
        """
