"""A first kernel, from the problem alone."""

from __future__ import annotations

from collections.abc import Sequence

from operators.dialogue import Conversation
from operators.llm import parts
from operators.llm.memory import Memory
from operators.llm.operators.base import ModelOperator, drawn
from operators.llm.parse import read_module
from operators.operator import Inapplicable, Situation
from populations.kernel import Kernel

# The experiment's first choice among languages, against one for each other.
_FIRST_CHOICE = 2.0


class Draft(ModelOperator):
    """Ask for a kernel without showing one.

    With memory, other first kernels are told in a line each, so that not all are the same idea.

    May break: everything; it is the operator that sees least.
    """

    name = "draft"
    arity = 0
    topic = "parallel decomposition, tiling, fusion, memory traffic, roofline"
    angled = True
    weight = 0.5

    def vary(
        self,
        parents: Sequence[Kernel],  # noqa: ARG002 - takes none
        situation: Situation,
    ) -> Conversation | Inapplicable:
        """Ask for a kernel in one of the experiment's languages."""
        languages = situation.brief.languages if situation.brief else ()
        if not languages:
            return Inapplicable("draft: nothing says which language to write in")
        weights = [_FIRST_CHOICE, *[1.0] * (len(languages) - 1)]
        language = situation.rng.choices(languages, weights)[0]
        mode = drawn(situation, (Memory.SIBLINGS, Memory.CLEAN))
        told = self.known(situation, language)
        if mode.shows_siblings:
            lineage = situation.lineage
            firsts = [k for k in lineage.kernels.values() if not k.candidate.parents]
            title = "Other first kernels; look for another way than theirs"
            told.insert(0, parts.attempts(title, firsts, lineage))
        task = self.task(
            situation,
            told,
            read=read_module,
            subjects=(),
            language=language,
            languages=languages,
            mode=mode,
        )
        return self.conversation(task)
