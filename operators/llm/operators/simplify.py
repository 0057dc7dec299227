"""The parent, shorter and plainer."""

from __future__ import annotations

from collections.abc import Sequence

from operators.dialogue import Conversation
from operators.llm.operators.base import ModelOperator, drawn
from operators.llm.parse import read_module
from operators.operator import Inapplicable, Situation
from populations.kernel import Kernel


class Simplify(ModelOperator):
    """Ask for the same kernel with less text, which later operators have an easier time with.

    May break: a case that the model took for superfluous.
    """

    name = "simplify"
    topic = "instruction overhead, registers, redundant masks and branches"
    weight = 0.3

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Conversation | Inapplicable:
        """Ask for a plainer form of the first parent, in its own language."""
        if not parents:
            return Inapplicable("simplify: no parent")
        parent, mode = parents[0], drawn(situation)
        task = self.task(
            situation,
            self.about(parent, situation, mode),
            read=read_module,
            subjects=[parent],
            language=parent.candidate.language,
            mode=mode,
            number=str(parent.number),
        )
        return self.conversation(task)
