"""What a search reads back from its store when it goes on, and completes there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from operators.tuning import trial_of
from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation
from populations.policies.policy import CHANGES
from populations.rows import Event, Proposal, Rejection
from populations.store import Store

EARLY_INSERT = "early_insert"


@dataclass(frozen=True, slots=True)
class Past:
    """Everything that a run has proposed and found, each by the number of the proposal.

    Attributes:
        candidates: What was proposed; `evaluations` those that were judged.
        proposals: What a model was asked for; `rejections` those of which nothing came.
        remeasurements: The kernel that was to be measured again; `remeasured` what was found.
        early: Before proposal -> up to which number results were inserted ahead of the rule.
        changes: How many events its policy has made.
    """

    candidates: Mapping[int, Candidate]
    evaluations: Mapping[int, Evaluation]
    proposals: Mapping[int, Proposal]
    rejections: Mapping[int, Rejection]
    remeasurements: Mapping[int, int]
    remeasured: Mapping[int, Evaluation]
    early: Mapping[int, int]
    changes: int

    @classmethod
    def of(cls, store: Store) -> Past:
        """Read it all."""
        events = store.events()
        return cls(
            candidates={candidate.number: candidate for candidate in store.candidates()},
            evaluations=store.evaluations(),
            proposals={proposal.number: proposal for proposal in store.proposals()},
            rejections={rejection.number: rejection for rejection in store.rejections()},
            remeasurements={again.number: again.kernel for again in store.remeasurements()},
            remeasured=store.remeasured(),
            early=early_inserts(events),
            changes=sum(event.kind in CHANGES for event in events),
        )

    @property
    def numbers(self) -> list[int]:
        """Of every proposal, ascending."""
        return sorted({*self.candidates, *self.proposals, *self.remeasurements})


def early_inserts(events: Iterable[Event]) -> dict[int, int]:
    """Before proposal -> up to which number a run had inserted results ahead of the rule."""
    early: dict[int, int] = {}
    for event in events:
        if event.kind == EARLY_INSERT:
            before, number = event.data["before"], event.data["number"]
            early[before] = max(number, early.get(before, -1))
    return early


def with_seeds(store: Store, past: Past, seeds: Sequence[Kernel]) -> Past:
    """Put the seeds into the store as far as they are not there; what it holds then."""
    missing = [seed for seed in seeds if seed.number not in past.evaluations]
    for seed in missing:
        if seed.number not in past.candidates:
            store.add_candidate(seed.candidate)
        store.add_evaluation(seed.number, seed.evaluation)
    return Past.of(store) if missing else past


def complete_trials(store: Store, past: Past) -> None:
    """Add the trial that a kill may have cut off from its evaluation."""
    known = {trial.number for trial in store.trials()}
    for number, candidate in past.candidates.items():
        if candidate.operator == "tune" and number in past.evaluations and number not in known:
            store.add_trial(trial_of(Kernel(candidate, past.evaluations[number])))
