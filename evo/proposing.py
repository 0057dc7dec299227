"""Making the next proposal: an operator by credit, parents by the policy, what comes of both."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import replace

from evo.parts import Parts
from evo.pending import Question
from operators.dialogue import Conversation
from operators.operator import Inapplicable, Operator, Situation, Variation
from operators.screening.screen import most_promising
from operators.screening.spread import spread
from operators.tuning import inherit
from populations.kernel import Candidate, Kernel
from populations.lineage import Lineage
from populations.parameters import values
from populations.rows import Proposal

# Proposals in one turn that may come to nothing (inapplicable, or a kernel known already) before
# the turn is given up.
ATTEMPTS = 60
# The same before the search is given up, with any parents.
LAST_ATTEMPTS = 300
# With screening: points of launch parameters that are offered of each kernel beside its own.
POINTS = 8
TUNE, MERGE = "tune", "merge"


class Proposer:
    """Makes proposal `n` from a generator of its own, seeded by (seed, n).

    Args:
        parts: Of the search.
        lineage: All kernels inserted so far, as the search keeps them.
        seed: Root of all randomness.
        device: "cpu" or "cuda".
        edits: Mean number of structural edits in one mutation, at least 1.
        screening: Kernels that operators make for one proposal, of which, at several points of
            their launch parameters, the one that promises most is proposed; 0: the first new one.
    """

    def __init__(
        self,
        parts: Parts,
        lineage: Lineage,
        *,
        seed: int,
        device: str,
        edits: float,
        screening: int = 0,
    ) -> None:
        self._parts = parts
        self._lineage = lineage
        self._seed = seed
        self._device = device
        self._edits = edits
        self._screening = screening
        # Those that ask nobody: what they make costs nothing.
        self._silent = (parts.structural | {TUNE, MERGE}) & set(parts.operators)

    @property
    def looks_ahead_of(self) -> frozenset[str]:
        """The operators of whose candidates under way a proposal wants to know."""
        return self._silent if self._screening else frozenset({TUNE})

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
            under_way: What `looks_ahead_of` have proposed and nobody has judged yet.
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
            screened = self._screening and not anyone and not among and name in self._silent
            if screened and (chosen := self._screened(number, name, situation, known)):
                return chosen
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

    def _screened(
        self, number: int, first: str, situation: Situation, known: Collection[str]
    ) -> Candidate | None:
        """Of many kernels on offer the one that promises most; None where none is new.

        Args:
            number: The proposal's.
            first: Who makes the first kernel; who makes the others is drawn as ever.
            situation: The proposal's.
            known: Keys of all candidates so far.
        """
        rng, key = situation.rng, self._parts.novelty.key
        offered: dict[str, Candidate] = {}
        if first == TUNE and (trial := self._trial(number, situation)) is not None:
            offered |= {key(trial): trial} if key(trial) not in known else {}
        made, name = 0, first
        for _ in range(ATTEMPTS):
            if made == self._screening:
                break
            if (base := self._base(number, name, situation)) is not None:
                made += 1
                for source in (base.source, *spread(base.source, POINTS, rng, situation.facts)):
                    one = base if source == base.source else _moved(base, source)
                    if (text := key(one)) not in known:
                        offered.setdefault(text, one)
            name = self._parts.credit.choose(rng, among=self._silent)
        if not offered:
            return None
        among = list(offered.values())
        judged = self._lineage.kernels.values()
        sources = [one.source for one in among]
        return among[most_promising(sources, judged, situation.under_way, rng)]

    def _trial(self, number: int, situation: Situation) -> Candidate | None:
        """The tuner's own next point."""
        operator = self._parts.operators[TUNE]
        parents = self._parents(operator.arity, situation.rng, anyone=False)
        variation = operator.vary(parents, situation) if parents else None
        if not isinstance(variation, Variation):
            return None
        return self._candidate(number, operator, parents, variation)

    def _base(self, number: int, name: str, situation: Situation) -> Candidate | None:
        """What one operator makes; of the tuner the best point of a parent's skeleton."""
        operator = self._parts.operators[name]
        parents = self._parents(operator.arity, situation.rng, anyone=False)
        if len(parents) < operator.arity:
            return None
        if name == TUNE:
            variation: object = Variation(source=parents[0].source, note="")
        else:
            variation = operator.vary(parents, situation)
        if not isinstance(variation, Variation):
            return None
        if name in self._parts.structural:
            variation = self._edit_further(parents[0], variation, situation)
        return self._candidate(number, operator, parents, variation, inherits=True)

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
        self,
        number: int,
        operator: Operator,
        parents: Sequence[Kernel],
        variation: Variation,
        *,
        inherits: bool = False,
    ) -> Candidate:
        source = variation.source
        if inherits or operator.name != TUNE:
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


def _moved(base: Candidate, source: str) -> Candidate:
    """A kernel at other launch parameters."""
    old, new = values(base.source), values(source)
    changed = ", ".join(
        f"{name} {old[name]} to {new[name]}" for name in new if old[name] != new[name]
    )
    return replace(base, source=source, note=f"{base.note}; {changed}" if base.note else changed)
