"""The one interface by which new kernels arise."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from populations.kernel import Candidate, Kernel
from populations.lineage import Lineage
from populations.parameters import Value

if TYPE_CHECKING:
    from operators.dialogue import Conversation
    from operators.novelty import Novelty


@dataclass(frozen=True, slots=True)
class Variation:
    """A new kernel's text as an operator proposes it.

    Attributes:
        source: The whole module.
        note: What was done, in one line, for the lineage and for people.
        language: Set when the operator changed it; None keeps the first parent's.
        parents: Numbers of its parents where they are others than those given (`repair` takes a
            kernel that failed, `tune` may take another survivor); None for those given.
    """

    source: str
    note: str
    language: str | None = None
    parents: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Inapplicable:
    """The operator had nothing to do on these parents; not an error, costs no evaluation."""

    reason: str


@dataclass(frozen=True, slots=True)
class Situation:
    """What an operator may look at besides its parents.

    Attributes:
        lineage: Every kernel judged so far, failures included, with its ancestry. Read only.
        rng: The proposal's own random generator; the only source of randomness an operator uses.
        device: "cpu" or "cuda".
        brief: What a model is told of the problem and the target; None where no model is used.
        novelty: What counts as known beside the same text; None: nothing.
        facts: What is known of the device, by the names of `populations.constraints.FACTS`.
        under_way: What is being judged, in order: points that the tuner proposed; with screening,
            what any operator proposed that asks no model.
    """

    lineage: Lineage
    rng: random.Random
    device: str
    brief: Brief | None = None
    novelty: Novelty | None = None
    facts: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    under_way: Sequence[Candidate] = ()


@dataclass(frozen=True, slots=True)
class Brief:
    """What stays the same for a whole run, and is written into prompts.

    Attributes:
        problem: The problem file's text.
        target: Lines on the device and its toolchain, measured or asked of the device itself.
        languages: What kernels may be written in here, the experiment's first choice first.
        workloads: The workloads' names, smallest first.
        baselines_ms: Workload -> baseline -> milliseconds.
        knowledge: Looks up documents; None without any.
    """

    problem: str
    target: str
    languages: tuple[str, ...]
    workloads: tuple[str, ...]
    baselines_ms: Mapping[str, Mapping[str, float]]
    knowledge: Knowledge | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a knowledge document.

    Attributes:
        name: The document's, stable: "hopper/memory".
        title: For people.
        text: What a prompt shows.
    """

    name: str
    title: str
    text: str


class Knowledge(Protocol):
    """Documents on hardware, languages and techniques."""

    def search(self, query: str, *, filters: Mapping[str, str], count: int) -> Sequence[Passage]:
        """The documents nearest to a query, best first; the same for the same arguments.

        Args:
            query: What is to be found: a bottleneck, a technique, a compiler's words.
            filters: Front matter that a document must not contradict: "hardware", "language",
                "topic", "phase". A document without a key fits every value of it.
            count: How many at most.
        """


class Operator(Protocol):
    """Makes a new kernel from judged ones: mutation, crossover or tuning.

    Called once per proposal, in proposal order, in the search's own process; must not run, build
    or import a candidate, nor read a clock, a file or the environment: the same parents and the
    same situation give the same variation. `vary` never raises for a parent it cannot handle (odd
    or broken source included): it returns `Inapplicable`.
    """

    @property
    def name(self) -> str:
        """Unique, stable, snake_case: stands in the store and in the experiment file."""

    @property
    def arity(self) -> int:
        """How many parents `vary` takes: 0, 1 or 2."""

    def vary(
        self, parents: Sequence[Kernel], situation: Situation
    ) -> Variation | Inapplicable | Conversation:
        """Propose one variation of `parents` (best first), or say why there is none.

        A `Conversation` is a proposal that a language model has to be asked for first.
        """
