"""One kernel of two parents' techniques."""

from __future__ import annotations

from collections.abc import Sequence

from operators.dialogue import Conversation
from operators.llm import history, parts
from operators.llm.operators.base import ModelOperator, drawn
from operators.llm.parse import read_module
from operators.operator import Inapplicable, Situation
from populations.kernel import Kernel
from populations.sameness import fingerprint


class Crossover(ModelOperator):
    """Show two kernels with what each is better at, and ask for one that has both.

    Unlike a merge of texts it needs no common ancestor and no common language.

    May break: where two techniques make different assumptions on layout or ownership.
    """

    name = "crossover"
    arity = 2
    topic = "combining techniques: tiling, fusion, memory access, dispatch by size"
    angled = True

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Conversation | Inapplicable:
        """Ask for a kernel of both parents, in the better one's language."""
        if len(parents) < 2:
            return Inapplicable("crossover: two parents are needed")
        best, other = parents[0], parents[1]
        if best.number == other.number or fingerprint(best.source) == fingerprint(other.source):
            return Inapplicable("crossover: the parents are one kernel")
        lineage, mode = situation.lineage, drawn(situation)
        language = best.candidate.language
        told = [
            parts.kernel_source("First parent", best),
            parts.times(best),
            parts.diagnostics(best, history.first_parent(best, lineage)),
            parts.kernel_source("Second parent", other),
            parts.times(other),
            parts.diagnostics(other, history.first_parent(other, lineage)),
            parts.comparison(best, other),
        ]
        if mode.shows_ancestors:
            told.append(parts.divergence(best, other, lineage))
        if mode.shows_siblings:
            tried = history.family([best, other], lineage)
            told.append(parts.attempts("What was tried on them and beside them", tried, lineage))
        task = self.task(
            situation,
            [*told, *self.known(situation, language, best)],
            read=read_module,
            subjects=[best, other],
            language=language,
            languages=[other.candidate.language],
            mode=mode,
            number=str(best.number),
            other=str(other.number),
        )
        return self.conversation(task)
