"""What bounds the parent, then the change that follows from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from operators.dialogue import Conversation, Dialogue, Prompt, Reason, Rejected
from operators.llm.context import Part, assemble, prompt_tokens
from operators.llm.fence import one_line
from operators.llm.operators.base import ModelOperator, drawn
from operators.llm.parse import (
    Module,
    Unusable,
    gave_up,
    labelled,
    plain,
    read_edit,
    read_module,
)
from operators.llm.prompts import fill, spoken
from operators.llm.talk import Task, converse, judged, unanswered
from operators.operator import Inapplicable, Situation
from populations.call import Message
from populations.kernel import Kernel

# Of a diagnosis in a note.
_DIAGNOSIS = 260


class Explain(ModelOperator):
    """Ask for the bottleneck and its evidence first, then for the one change that removes it.

    The diagnosis stands in the note, and finds the documents that the second question shows.

    May break: what the change touches; a wrong diagnosis costs speed alone.
    """

    name = "explain"
    answer_format = "format_explain"
    topic = "what bounds a kernel, diagnosis"
    angled = True

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Conversation | Inapplicable:
        """Ask for a diagnosis of the first parent."""
        if not parents:
            return Inapplicable("explain: no parent")
        parent, mode = parents[0], drawn(situation)
        told = self.about(parent, situation, mode)
        task = self.task(
            situation,
            told,
            read=partial(read_edit, source=parent.source, number=parent.number),
            subjects=[parent],
            language=parent.candidate.language,
            languages=situation.brief.languages if situation.brief else (),
            mode=mode,
            number=str(parent.number),
        )
        if isinstance(task, Inapplicable):
            return task
        shown = {part.text for part in told}

        def look_up(said: str) -> list[Part]:
            found = self.known(situation, task.language, said=said)
            return [part for part in found if part.text not in shown]

        return Conversation(_dialogue(task, parent.number, look_up), self._model)


def diagnosis(answer: str) -> str:
    """The diagnosis that an answer gives, in one line; "" when it gives none."""
    text = plain(answer)
    bottleneck = labelled(text, "bottleneck")
    if not bottleneck:
        return ""
    evidence, change = labelled(text, "evidence"), labelled(text, "change")
    said = bottleneck + (f" ({evidence})" if evidence else "") + (f"; {change}" if change else "")
    return one_line(said, _DIAGNOSIS)


def _dialogue(task: Task, number: int, look_up: Callable[[str], list[Part]]) -> Dialogue:
    answer = yield Prompt(task.opening)
    if (failed := unanswered(answer)) is not None:
        return failed
    text = plain(answer.text)
    said = diagnosis(answer.text)
    if isinstance(read_module(answer.text), Module):
        # It went ahead and wrote the kernel: a second question would only cost.
        verdict = judged(task, answer, before=f"diagnosis: {said}" if said else "")
        if not isinstance(verdict, Unusable):
            return verdict
    if (given_up := gave_up(text)) is not None:
        return Rejected(given_up.reason, given_up.text)
    said = said or one_line(text, _DIAGNOSIS)
    asked = (*task.opening, Message("assistant", answer.text))
    question = partial(fill, "explain_change", number=str(number), language=spoken(task.language))
    left = task.context_tokens - prompt_tokens((*asked, Message("user", question(passages=""))))
    if left < 0:
        return Rejected(Reason.TRUNCATED, "no room is left to ask for the change")
    passages = assemble(look_up(said), left) or ""
    opening = (*asked, Message("user", question(passages=f"{passages}\n\n" if passages else "")))
    return (yield from converse(replace(task, opening=opening), before=f"diagnosis: {said}"))
