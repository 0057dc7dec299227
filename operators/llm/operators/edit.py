"""One improvement of the parent, as search/replace blocks or a unified diff."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from operators.dialogue import Conversation
from operators.llm.operators.base import ModelOperator, drawn
from operators.llm.parse import read_edit
from operators.operator import Inapplicable, Situation
from populations.kernel import Kernel


class Edit(ModelOperator):
    """Ask for one change in search/replace blocks, which cost little and keep the rest as it is.

    Blocks and hunks that do not apply are told back, twice at most.

    May break: what the change touches.
    """

    name = "edit"
    answer_format = "format_blocks"
    topic = "loads, loops, unrolling, hoisting, vector access, masks, instruction overhead"
    angled = True
    weight = 2.0

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Conversation | Inapplicable:
        """Ask for one change to the first parent."""
        if not parents:
            return Inapplicable("edit: no parent")
        parent, mode = parents[0], drawn(situation)
        task = self.task(
            situation,
            self.about(parent, situation, mode),
            read=partial(read_edit, source=parent.source, number=parent.number),
            subjects=[parent],
            language=parent.candidate.language,
            languages=situation.brief.languages if situation.brief else (),
            mode=mode,
            number=str(parent.number),
        )
        return self.conversation(task)
