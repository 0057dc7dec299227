"""The parent again, with another structure."""

from __future__ import annotations

from collections.abc import Sequence

from operators.dialogue import Conversation
from operators.llm.operators.base import ModelOperator, drawn
from operators.llm.parse import read_module
from operators.operator import Inapplicable, Situation
from populations.kernel import Kernel


class Rewrite(ModelOperator):
    """Ask for a whole new module, free in everything but what it computes.

    May break: indices, tails and precision, which the parent had right.
    """

    name = "rewrite"
    topic = "algorithm, structure, tiling, memory traffic, occupancy, what bounds a kernel"
    angled = True
    weight = 1.5

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Conversation | Inapplicable:
        """Ask for another structure for the first parent."""
        if not parents:
            return Inapplicable("rewrite: no parent")
        parent, mode = parents[0], drawn(situation)
        task = self.task(
            situation,
            self.about(parent, situation, mode),
            read=read_module,
            subjects=[parent],
            language=parent.candidate.language,
            languages=situation.brief.languages if situation.brief else (),
            mode=mode,
            number=str(parent.number),
        )
        return self.conversation(task)
