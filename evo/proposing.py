"""Making the next proposal: an operator by credit, parents by the policy, what comes of both."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evo.pending import Question
from operators.dialogue import Conversation
from operators.operator import Inapplicable, Operator, Situation, Variation
from operators.tuning import inherit
from populations.kernel import Candidate, Kernel
from populations.rows import Proposal

if TYPE_CHECKING:
    from evo.search import Parts
    from populations.lineage import Lineage

# Proposals in one turn that may come to nothing (inapplicable, or a kernel known already) before
# the turn is given up.
ATTEMPTS = 60
# The same before the search is given up, with any parents.
LAST_ATTEMPTS = 300


class Proposer:
    """Makes proposal `n` from a generator of its own, seeded by (seed, n).

    Args:
        parts: Of the search.
        lineage: All kernels inserted so far, as the search keeps them.
        seed: Root of all randomness.
        device: "cpu" or "cuda".
        edits: Mean number of structural edits in one mutation, at least 1.
    """

    def __init__(
        self, parts: Parts, lineage: Lineage, *, seed: int, device: str, edits: float
    ) -> None:
        self._parts = parts
        self._lineage = lineage
        self._seed = seed
        self._device = device
        self._edits = edits

    def propose(
        self,
        number: int,
        *,
        champion: Kernel | None,
        known: Collection[str],
        under_way: Sequence[Candidate],
        anyone: bool = False,
    ) -> Candidate | Question | None:
        """Make the next candidate, or what to ask; None when nothing new was found in this turn.

        Args:
            number: Its number.
            champion: The best so far.
            known: Keys of all candidates so far, by which new ones are told.
            under_way: What the tuner has proposed and nobody has judged yet.
            anyone: Every kernel that passed may be a parent and every operator has the same
                chance, but no model is asked.
        """
        parts, rng = self._parts, random.Random(f"{self._seed}:{number}")
        situation = Situation(
            lineage=self._lineage,
            rng=rng,
            device=self._device,
            brief=parts.brief,
            novelty=parts.novelty,
            facts=parts.facts,
            under_way=under_way,
        )
        # Who has nothing to go on from begins from the problem.
        among = parts.first if champion is None else None
        names, attempts = list(parts.operators), LAST_ATTEMPTS if anyone else ATTEMPTS
        for _ in range(attempts if self._lineage.kernels or among else 0):
            name = rng.choice(names) if anyone else parts.credit.choose(rng, among or None)
            operator = parts.operators[name]
            parents = self._parents(operator.arity, rng, anyone=anyone)
            if len(parents) < operator.arity:
                continue
            variation = operator.vary(parents, situation)
            if isinstance(variation, Inapplicable):
                continue
            if isinstance(variation, Conversation):
                if anyone:
                    continue
                numbers = tuple(parent.number for parent in parents)
                proposal = Proposal(number, operator.name, numbers, variation.model)
                language = parents[0].candidate.language if parents else ""
                return Question(proposal, variation, language)
            if operator.name in parts.structural:
                variation = self._edit_further(parents[0], variation, situation)
            candidate = self._candidate(number, operator, parents, variation)
            if parts.novelty.key(candidate) not in known:
                return candidate
        return None

    def _parents(self, count: int, rng: random.Random, *, anyone: bool) -> list[Kernel]:
        if not count:
            return []
        if not anyone:
            return self._parts.policy.parents(count, rng)
        passed = [kernel for kernel in self._lineage.kernels.values() if kernel.passed]
        return rng.sample(passed, min(count, len(passed)))

    def _edit_further(
        self, parent: Kernel, variation: Variation, situation: Situation
    ) -> Variation:
        """Add structural edits: steps of several cross valleys that single ones cannot."""
        rng = situation.rng
        while rng.random() < 1 - 1 / self._edits:
            name = self._parts.credit.choose(rng, among=self._parts.structural)
            edited = Kernel(replace(parent.candidate, source=variation.source), parent.evaluation)
            further = self._parts.operators[name].vary([edited], situation)
            if isinstance(further, Variation):
                variation = Variation(
                    source=further.source,
                    note=f"{variation.note}; then {name}: {further.note}",
                    language=further.language or variation.language,
                )
        return variation

    def _candidate(
        self, number: int, operator: Operator, parents: Sequence[Kernel], variation: Variation
    ) -> Candidate:
        source = variation.source
        if operator.name != "tune":
            source = inherit(source, parents[0], self._lineage, self._parts.facts)
        return Candidate(
            number=number,
            source=source,
            language=variation.language or parents[0].candidate.language,
            operator=operator.name,
            parents=tuple(parent.number for parent in parents)
            if variation.parents is None
            else variation.parents,
            note=variation.note,
        )
