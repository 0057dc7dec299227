"""The dialogue that every model operator holds: ask, read, and tell back what is wrong, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from operators.dialogue import Dialogue, Prompt, Reason, Rejected
from operators.llm import history
from operators.llm.context import prompt_tokens
from operators.llm.fence import fenced, one_line
from operators.llm.memory import Memory, marked
from operators.llm.parse import Module, Unusable, written_in
from operators.llm.prompts import fill, spoken
from operators.novelty import Novelty, Similar
from operators.operator import Variation
from populations.call import Answer, Finish, Message
from populations.kernel import Candidate, Kernel
from populations.lineage import Lineage
from populations.sameness import fingerprint

# How often one dialogue tells the model what is wrong with its answer, of one kind and in all.
_TELLS = {Reason.INAPPLICABLE_EDIT: 2}
_TELLS_IN_ALL = 2
_NOTE = 400
# Kernels that are compared by more than their text, the newest.
_NEAR = 64


@dataclass(frozen=True, slots=True)
class Known:
    """What a new kernel is compared with: the lineage as it stood before the first prompt.

    Attributes:
        lineage: Every kernel judged; it grows while the model thinks.
        last: Number of the last kernel that counts, -1 for none.
        near: Those that the new one is likely to repeat; they count also where only layout differs.
        novelty: What else counts; None: nothing.
    """

    lineage: Lineage
    last: int
    near: tuple[Kernel, ...] = ()
    novelty: Novelty | None = None

    @classmethod
    def now(
        cls, lineage: Lineage, subjects: Sequence[Kernel], novelty: Novelty | None = None
    ) -> Known:
        """The lineage as it stands, of which what was made of these kernels is near."""
        near = tuple(history.family(subjects, lineage)[-_NEAR:])
        return cls(lineage, max(lineage.kernels, default=-1), near, novelty)

    def find(self, source: str, language: str) -> Kernel | None:
        """The kernel that this text is, if it had been judged by then."""
        digest = Candidate(number=0, source=source, language=language).digest
        # Kernels come in order of their numbers, and the first of a digest is the one found.
        found = self.lineage.by_digest(digest)
        if found and found.number <= self.last:
            return found
        near = next((kernel for kernel in self.near if same(kernel, source, language)), None)
        if near is not None or self.novelty is None:
            return near
        return self.novelty.same(source, language, self.lineage, self.last)

    def similar(self, source: str, language: str) -> Similar | None:
        """A kernel that had been judged by then and is too much like this text."""
        if self.novelty is None:
            return None
        return self.novelty.similar(source, language, self.lineage, self.last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """All that a dialogue needs, taken from the lineage before its first prompt.

    Attributes:
        opening: The first prompt.
        read: Finds the module in an answer.
        known: What must not come again.
        subjects: Kernels that the new one must differ from by more than comments and layout.
        language: What it is to be written in.
        languages: What else is taken; `language` is among them.
        context_tokens: Length of a prompt at most, tokens.
        memory: What the prompt tells of the search; goes into the note.
        parents: For the variation; see there.
    """

    opening: tuple[Message, ...]
    read: Callable[[str], Module | Unusable]
    known: Known
    subjects: tuple[Kernel, ...]
    language: str
    languages: frozenset[str]
    context_tokens: int
    memory: Memory
    parents: tuple[int, ...] | None = None


def converse(task: Task, *, before: str = "") -> Dialogue:
    """Ask until there is a new kernel or it is no use.

    Args:
        task: What to ask and how to read it.
        before: What the note begins with.
    """
    messages = task.opening
    told: Counter[Reason] = Counter()
    while True:
        answer = yield Prompt(messages)
        verdict = judged(task, answer, before=before)
        if not isinstance(verdict, Unusable):
            return verdict
        told[verdict.reason] += 1
        messages = (
            *messages,
            Message("assistant", answer.text),
            Message("user", verdict.reply),
        )
        if (
            not verdict.reply
            or told[verdict.reason] > _TELLS.get(verdict.reason, 1)
            or told.total() > _TELLS_IN_ALL
            or prompt_tokens(messages) > task.context_tokens
        ):
            return Rejected(verdict.reason, verdict.text)


def judged(task: Task, answer: Answer, *, before: str = "") -> Variation | Rejected | Unusable:
    """What becomes of one answer; an `Unusable` may be told back."""
    if (failed := unanswered(answer)) is not None:
        return failed
    module = task.read(answer.text)
    if isinstance(module, Unusable):
        return module
    language = written_in(module.source, task.language)
    if language not in task.languages:
        wanted = spoken(task.language)
        problem = f"a kernel in {wanted} is wanted, this one is in {spoken(language)}"
        reply = fill("retry_language", problem=problem, language=wanted)
        return Unusable(Reason.UNREADABLE, problem, reply)
    if (same := _repeated(task, module.source, language)) is not None:
        return same
    said = " - ".join(text for text in (before, module.note) if text) or "no reason given"
    return Variation(
        source=module.source,
        note=marked(one_line(said, _NOTE), task.memory),
        language=language,
        parents=task.parents,
    )


def unanswered(answer: Answer) -> Rejected | None:
    """The end of a dialogue whose question got no whole answer; None when it did."""
    if answer.finish is Finish.TRUNCATED:
        return Rejected(Reason.TRUNCATED, f"cut off after {len(answer.text)} characters")
    if answer.finish is not Finish.COMPLETE or not answer.text.strip():
        said = one_line(answer.text) if answer.finish is not Finish.COMPLETE else ""
        finish = Finish.EMPTY if answer.finish is Finish.COMPLETE else answer.finish
        return Rejected(Reason.NO_ANSWER, f"{finish.value}: {said}" if said else finish.value)
    return None


def same(kernel: Kernel, source: str, language: str) -> bool:
    """Whether a kernel has this text, comments and layout aside."""
    if kernel.candidate.language != language:
        return False
    return kernel.source == source or fingerprint(kernel.source) == fingerprint(source)


def _repeated(task: Task, source: str, language: str) -> Unusable | None:
    """The verdict on a kernel that was there before; None for a new one."""
    for kernel in task.subjects:
        if same(kernel, source, language):
            which = f"kernel {kernel.number}"
            return Unusable(
                Reason.UNCHANGED, f"{which} again", fill("retry_unchanged", which=which)
            )
    if (found := task.known.find(source, language)) is not None:
        number = str(found.number)
        reply = fill("retry_duplicate", number=number, fate=fenced(history.line(found)))
        return Unusable(Reason.DUPLICATE, f"kernel {number} again", reply)
    if (close := task.known.similar(source, language)) is not None:
        number, share = str(close.kernel.number), f"{close.share:.1%}"
        fate = fenced(history.line(close.kernel))
        reply = fill("retry_similar", number=number, share=share, fate=fate)
        return Unusable(Reason.DUPLICATE, f"{share} of kernel {number}", reply)
    return None
