"""The parent in another language."""

from __future__ import annotations

from collections.abc import Sequence

from operators.dialogue import Conversation
from operators.llm.operators.base import ModelOperator, drawn
from operators.llm.parse import read_module
from operators.llm.prompts import spoken
from operators.operator import Inapplicable, Situation
from populations.kernel import Kernel


class Translate(ModelOperator):
    """Ask for the parent's idea in another of the experiment's languages.

    May break: what one language does by itself and the other does not (masks, rounding, layout).
    """

    name = "translate"
    topic = "idioms, tiling, memory access"
    weight = 0.3

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Conversation | Inapplicable:
        """Ask for the first parent in a language that it is not written in."""
        if not parents:
            return Inapplicable("translate: no parent")
        parent = parents[0]
        before = parent.candidate.language
        languages = situation.brief.languages if situation.brief else ()
        others = [language for language in languages if language != before]
        if not others:
            return Inapplicable("translate: there is no other language")
        language, mode = situation.rng.choice(others), drawn(situation)
        told = self.about(parent, situation, mode)
        task = self.task(
            situation,
            told,
            read=read_module,
            subjects=[parent],
            language=language,
            mode=mode,
            number=str(parent.number),
            language_before=spoken(before),
        )
        return self.conversation(task)
