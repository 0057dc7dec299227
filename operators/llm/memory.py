"""What a prompt tells of the search so far: drawn anew for each proposal.

A model that is told what came before repeats it more than it should: published comparisons found
that memory alone anchors a search (1.36x with it against 1.49x without). So every proposal draws
one of four modes, the kernel's note names it, and a run's lineage shows which one paid.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from enum import StrEnum

_MARK = re.compile(r"\[memory: (\w+)\]\s*\Z")


class Memory(StrEnum):
    """How much of the lineage a prompt shows."""

    PARENT = "parent"  # how the parent came to be
    SIBLINGS = "siblings"  # what was tried on the parent and beside it
    BOTH = "both"
    CLEAN = "clean"  # nothing: the kernel as it stands

    @property
    def shows_ancestors(self) -> bool:
        """Whether the way from the seed to the parent is told."""
        return self in (Memory.PARENT, Memory.BOTH)

    @property
    def shows_siblings(self) -> bool:
        """Whether other attempts are told."""
        return self in (Memory.SIBLINGS, Memory.BOTH)


# Equal, as long as nobody knows better: arms of one size are also the easiest to compare.
WEIGHTS = {Memory.PARENT: 1.0, Memory.SIBLINGS: 1.0, Memory.BOTH: 1.0, Memory.CLEAN: 1.0}


def draw(rng: random.Random, among: Sequence[Memory] = tuple(Memory)) -> Memory:
    """One of the modes, by `WEIGHTS`."""
    return rng.choices(among, [WEIGHTS[mode] for mode in among])[0]


def marked(note: str, memory: Memory) -> str:
    """A note that names the mode."""
    return f"{note} [memory: {memory.value}]"


def bare(note: str) -> str:
    """A note without the mode that it names."""
    return _MARK.sub("", note).rstrip()


def memory_of(note: str) -> Memory | None:
    """The mode that a note names; None for a note of another kind."""
    match = _MARK.search(note)
    return Memory(match[1]) if match and match[1] in set(Memory) else None
