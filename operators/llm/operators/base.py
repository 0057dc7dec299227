"""What all model operators share: their prompts' frame, and the dialogue that follows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from operators.dialogue import Conversation
from operators.llm import angles, history, memory, parts
from operators.llm.context import Part, assemble, prompt_tokens
from operators.llm.memory import Memory
from operators.llm.parse import Module, Unusable
from operators.llm.prompts import fill, spoken, template
from operators.llm.talk import Known, Task, converse
from operators.operator import Brief, Inapplicable, Passage, Situation
from populations.call import Message
from populations.kernel import Kernel

# Passages of documents in one prompt, at most.
PASSAGES = 3
# Languages that have rules of their own.
_LANGUAGES = ("cpp", "triton", "python")
_QUERY = 1200


class ModelOperator(ABC):
    """An operator that asks a language model.

    A subclass chooses the kernels and the parts of its prompt; this class frames the prompt within
    the length that it may have. What it needs of the lineage is taken when `vary` is called.

    Attributes:
        name: Name in the store and in the experiment file, and of the task's template.
        arity: Parents taken.
        answer_format: The template that says how to answer.
        topic: What to look for in documents, in a few words.
        angled: Whether a prompt may name what to look at first.
        weight: Suggested relative frequency in a search; 1.0 is ordinary.
    """

    name: ClassVar[str]
    arity: ClassVar[int] = 1
    answer_format: ClassVar[str] = "format_module"
    topic: ClassVar[str] = ""
    angled: ClassVar[bool] = False
    weight: ClassVar[float] = 1.0

    def __init__(self, *, model: str, context_tokens: int) -> None:
        """Bind the operator to a model.

        Args:
            model: Name of the model to ask, one of the experiment's `[[models]]`.
            context_tokens: Length of a prompt at most, estimated tokens: what the model may have
                less what its answer may take.
        """
        self._model = model
        self._context_tokens = context_tokens

    @abstractmethod
    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Conversation | Inapplicable:
        """Begin a dialogue, or say why there is nothing to ask."""

    def conversation(self, task: Task | Inapplicable) -> Conversation | Inapplicable:
        """The dialogue over a task."""
        return task if isinstance(task, Inapplicable) else Conversation(converse(task), self._model)

    def task(
        self,
        situation: Situation,
        told: Sequence[Part],
        *,
        read: Callable[[str], Module | Unusable],
        subjects: Sequence[Kernel],
        language: str,
        languages: Sequence[str] = (),
        mode: Memory,
        parents: tuple[int, ...] | None = None,
        **places: str,
    ) -> Task | Inapplicable:
        """What to ask, how to read it; `Inapplicable` when the prompt is too long.

        Args:
            situation: The proposal's.
            told: Parts about kernels; those about the problem are put before them.
            read: Finds the module in an answer.
            subjects: Kernels that the new one must not simply repeat.
            language: What is to be written in.
            languages: What else is taken.
            mode: What is told of the search.
            parents: The variation's, where they are not those given.
            **places: For the operator's template, besides `context` and `language`.
        """
        brief = situation.brief
        if brief is None:
            return Inapplicable(f"{self.name}: the situation has no brief to tell a model")
        taken = tuple(dict.fromkeys((language, *languages)))
        written = tuple(dict.fromkeys((*brief.languages, *taken)))
        system = Message("system", system_text(written, self.answer_format))
        places["language"] = spoken(language)
        bare = Message("user", fill(self.name, context="", **places))
        left = self._context_tokens - prompt_tokens([system, bare])
        if self.angled and (angle := angles.draw(situation.rng)):
            told = [*told, parts.angle(angle)]
        context = assemble([*common_parts(brief), *told], left)
        if context is None:
            text = f"{self.name}: a prompt does not fit into {self._context_tokens} tokens"
            return Inapplicable(text)
        return Task(
            opening=(system, Message("user", fill(self.name, context=context, **places))),
            read=read,
            known=Known.now(situation.lineage, subjects, situation.novelty),
            subjects=tuple(subjects),
            language=language,
            languages=frozenset(taken),
            context_tokens=self._context_tokens,
            memory=mode,
            parents=parents,
        )

    def about(self, kernel: Kernel, situation: Situation, mode: Memory) -> list[Part]:
        """The parts on one parent: its text, what it takes, what was tried, what is known."""
        lineage = situation.lineage
        told = [
            parts.kernel_source("Parent", kernel),
            parts.times(kernel),
            parts.diagnostics(kernel, history.first_parent(kernel, lineage)),
        ]
        if mode.shows_ancestors:
            told.append(parts.ancestry(kernel, lineage))
        if mode.shows_siblings:
            title = f"What was tried on kernel {kernel.number} and beside it"
            told.append(parts.attempts(title, history.family([kernel], lineage), lineage))
        return [*told, *self.known(situation, kernel.candidate.language, kernel)]

    def known(
        self, situation: Situation, language: str, kernel: Kernel | None = None, said: str = ""
    ) -> list[Part]:
        """What the documents have on the operator's topic, the language and a kernel's trouble."""
        return parts.knowledge(self.passages(situation, language, kernel, said))

    def passages(
        self, situation: Situation, language: str, kernel: Kernel | None = None, said: str = ""
    ) -> list[Passage]:
        """The passages for `known`; `said` is a diagnosis, which counts before all else."""
        brief = situation.brief
        if brief is None or brief.knowledge is None:
            return []
        found = parts.diagnostics(kernel).text if kernel else ""
        query = " ".join(f"{said} {self.topic} {language} {found}".split())[:_QUERY]
        filters = {
            "hardware": brief.target or situation.device,
            "language": language,
            "phase": self.name,
        }
        return list(brief.knowledge.search(query, filters=filters, count=PASSAGES))


def common_parts(brief: Brief) -> list[Part]:
    """The parts that every prompt of a run begins with: the same text, which providers remember."""
    return [parts.problem(brief), parts.target(brief), parts.baselines(brief)]


def system_text(languages: Sequence[str], answer_format: str) -> str:
    """The system message: the rules, which nothing in a prompt can change.

    Args:
        languages: What kernels may be written in.
        answer_format: The template that says how to answer.
    """
    rules = [template(f"language_{name}") for name in _LANGUAGES if name in languages]
    text = template(answer_format)
    if answer_format == "format_explain":
        text += template("format_blocks")
    return fill(
        "system",
        languages=", ".join(map(spoken, languages)),
        language_rules="".join(rules),
        answer_format=text,
    )


def drawn(situation: Situation, among: Sequence[Memory] = tuple(Memory)) -> Memory:
    """The proposal's mode of memory."""
    return memory.draw(situation.rng, among)
