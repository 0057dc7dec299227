"""The interchangeable parts of a search, put together by `evo.experiment`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evo.events import Observer
from fitness.evaluator import Evaluator
from operators.credit import Credit
from operators.llm.desk import Desk
from operators.novelty import Novelty
from operators.operator import Brief, Operator
from populations.parameters import Value
from populations.policies.policy import Policy
from populations.store import Store

# The operator of a kernel that a search began with.
SEED = "seed"


@dataclass(frozen=True, slots=True)
class Parts:
    """The interchangeable parts of a search.

    Attributes:
        store: Where everything is kept.
        evaluator: Who judges.
        operators: By name.
        structural: Names of the operators whose edits may be added up in one mutation.
        credit: Which operator next.
        policy: Who lives, and who becomes a parent.
        observer: Who watches.
        desk: Who asks models; None where no operator does.
        brief: What models are told of the problem.
        early: Before proposal -> up to which number results were inserted ahead of the rule, of the
            run that is grown again.
        evaluation_usd: What an evaluation is worth beside what models cost, US dollars.
        novelty: What counts as known.
        first: Names of the operators that propose alone until a kernel has passed; none where
            there are seeds.
        rivals: Whether a kernel without parents must beat the champion for its operator to be
            credited with more than a kernel that passed.
        facts: What is known of the device, by the names of `populations.constraints.FACTS`.
        early_stop: A tuner's trial that is slower than this share of its skeleton's best point is
            not timed to the end; 0: every one is.
    """

    store: Store
    evaluator: Evaluator
    operators: Mapping[str, Operator]
    structural: frozenset[str]
    credit: Credit
    policy: Policy
    observer: Observer
    desk: Desk | None = None
    brief: Brief | None = None
    early: Mapping[int, int] = field(default_factory=dict)
    evaluation_usd: float = 0.01
    novelty: Novelty = field(default_factory=Novelty)
    first: frozenset[str] = frozenset()
    rivals: bool = True
    facts: Mapping[str, Value] = field(default_factory=dict)
    early_stop: float = 0.0
