"""The loop: select, vary, evaluate, insert, record, until the budget is spent.

    take up what the store holds
    until a stop rule fires:
        insert the judged kernels that are due, in order of proposal
        choose an operator and parents, vary, record the candidate, submit it

Proposal `n` is made when every result up to `n - in_flight` has been inserted, never earlier and
never later, from a random generator of its own seeded by (seed, n). The lineage is therefore a
function of the seed and of the results alone, not of the order in which evaluations happen to end:
the same recorded measurements give the same lineage, and a killed run goes on as if unbroken.

A candidate is in the store before it is submitted, and its evaluation before it is inserted, so
that a run killed at any moment knows what it had begun and what it had found.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace

from evo.budget import Budget, Spent, exhausted
from evo.events import Judged, Observer, Proposed, Resumed
from fitness.evaluator import Evaluator
from operators.credit import Credit
from operators.operator import Inapplicable, Operator, Situation, Variation
from operators.tuning import inherit, trial_of
from populations.archive import Population
from populations.kernel import Candidate, Kernel
from populations.lineage import Lineage
from populations.outcome import Evaluation
from populations.selection import Selection
from populations.store import Store

# Proposals in one turn that may come to nothing (inapplicable, or a kernel known already) before
# the turn is given up.
ATTEMPTS = 60
# How often a waiting search looks whether it has been interrupted.
INTERRUPT_S = 0.1


@dataclass(frozen=True, slots=True)
class Parts:
    """The interchangeable parts of a search.

    `structural` names the operators whose edits may be added up in one mutation.
    """

    store: Store
    evaluator: Evaluator
    operators: Mapping[str, Operator]
    structural: frozenset[str]
    credit: Credit
    selection: Selection
    population: Population
    observer: Observer


class _Interrupted(Exception):
    """Somebody called `interrupt`."""


class Search:
    """One steady-state evolutionary search over one store.

    Args:
        parts: Store, evaluator, operators and the rest; the search closes none of them.
        budget: When to stop.
        seed: Root of all randomness.
        in_flight: Proposals under evaluation at once.
        device: "cpu" or "cuda"; operators may look at it.
        edits: Mean number of structural edits in one mutation, at least 1.
    """

    def __init__(
        self, parts: Parts, *, budget: Budget, seed: int, in_flight: int, device: str, edits: float
    ) -> None:
        if in_flight < 1 or edits < 1:
            raise ValueError(f"need at least 1 of each, but got {in_flight=} {edits=}")
        self.parts = parts
        self.lineage = Lineage()
        self._budget = budget
        self._seed = seed
        self._in_flight = in_flight
        self._device = device
        self._edits = edits
        self._pending: dict[int, tuple[Candidate, Future[Evaluation]]] = {}
        self._digests: set[str] = set()
        self._stored: set[int] = set()
        self._next = 0
        self._began = time.monotonic()
        self._earlier_s = 0.0
        self._device_s = 0.0
        self._best_at = 0
        self._improvements: list[int] = []
        self._interrupted = False

    @property
    def champion(self) -> Kernel | None:
        """The best kernel so far: it beat its predecessor with the lower end of its interval."""
        return self.parts.population.champion

    @property
    def interrupted(self) -> bool:
        """Whether `interrupt` was called."""
        return self._interrupted

    def spent(self) -> Spent:
        """What the search has used, earlier sessions of a resumed run included."""
        return Spent(
            evaluations=len(self.lineage.kernels),
            wall_s=self._earlier_s + time.monotonic() - self._began,
            device_s=self._device_s,
            in_flight=len(self._pending),
            since_best=len(self.lineage.kernels) - self._best_at,
        )

    def interrupt(self) -> None:
        """End the search soon and in good order, without waiting for what is under evaluation.

        May be called from a signal handler or from another thread.
        """
        self._interrupted = True

    def run(self, seeds: Sequence[Kernel] = ()) -> str:
        """Search until a stop rule fires; returns it in a few words, or "interrupted".

        Args:
            seeds: The first kernels, judged, numbered from 0. What the store holds already is
                passed over; none are needed once it holds them all.

        Raises:
            EvoError: The evaluator itself failed. Everything judged by then is in the store.
        """
        self._began = time.monotonic()
        try:
            self._take_up(seeds)
            while True:
                self._insert_due(self._next - self._in_flight)
                if (reason := exhausted(self._budget, self.spent())) is not None:
                    break
                if (candidate := self._propose()) is not None:
                    self._record(candidate)
                    self._submit(candidate)
                elif self._pending:
                    # Earlier than the rule above says: a resumed run must know.
                    self.parts.store.add_event("early_insert", {"number": min(self._pending)})
                    self._insert_due(min(self._pending))
                else:
                    reason = "no operator finds anything new"
                    break
            self._insert_due(self._next - 1)
        except _Interrupted:
            reason = "interrupted"
        return reason

    def _take_up(self, seeds: Sequence[Kernel]) -> None:
        """Insert what the store holds, in order, and submit again what was under way."""
        store = self.parts.store
        self._earlier_s = float(store.meta("wall_s") or 0.0)
        done = store.evaluations()
        resumed = bool(done)
        self._add_seeds(seeds, done)
        again = []
        for candidate in store.candidates():
            if (evaluation := done.get(candidate.number)) is None:
                again.append(candidate)
                self._submit(candidate)
                continue
            future: Future[Evaluation] = Future()
            future.set_result(evaluation)
            self._stored.add(candidate.number)
            self._enlist(candidate, future)
        self._complete_trials(done)
        # As far as an unbroken run had come when it proposed the last candidate of the store.
        first = [n for n, (candidate, _) in self._pending.items() if not candidate.parents]
        early = [e.data["number"] for e in store.events() if e.kind == "early_insert"]
        last = max(self._next - 1 - self._in_flight, *first, *early, -1)
        self._insert_due(last, announce=not resumed)
        if resumed:
            kernels, best = tuple(self.lineage.kernels.values()), tuple(self._improvements)
            self.parts.observer.notify(
                Resumed(kernels=kernels, improvements=best, spent=self.spent())
            )
        for candidate in again:
            self.parts.observer.notify(Proposed(candidate))

    def _add_seeds(self, seeds: Sequence[Kernel], done: dict[int, Evaluation]) -> None:
        """Put the seeds into the store, and into `done`, as far as they are not there yet."""
        known = {candidate.number for candidate in self.parts.store.candidates()}
        for seed in seeds:
            if seed.number not in known:
                self.parts.store.add_candidate(seed.candidate)
            if seed.number not in done:
                self.parts.store.add_evaluation(seed.number, seed.evaluation)
                done[seed.number] = seed.evaluation

    def _complete_trials(self, done: Mapping[int, Evaluation]) -> None:
        """Add the trial that a kill may have cut off from its evaluation."""
        known = {trial.number for trial in self.parts.store.trials()}
        for number, (candidate, _) in self._pending.items():
            if candidate.operator == "tune" and number in done and number not in known:
                self.parts.store.add_trial(trial_of(Kernel(candidate, done[number])))

    def _propose(self) -> Candidate | None:
        """Make the next candidate; None when nothing new was found in this turn."""
        rng = random.Random(f"{self._seed}:{self._next}")
        situation = Situation(lineage=self.lineage, rng=rng, device=self._device)
        members = self.parts.population.members
        for _ in range(ATTEMPTS if members else 0):
            operator = self.parts.operators[self.parts.credit.choose(rng)]
            parents = self.parts.selection.select(members, operator.arity, rng)
            variation = operator.vary(parents, situation)
            if isinstance(variation, Inapplicable):
                continue
            if operator.name in self.parts.structural:
                variation = self._edit_further(parents[0], variation, situation)
            candidate = self._candidate(operator, parents, variation)
            if candidate.digest not in self._digests:
                return candidate
        return None

    def _edit_further(
        self, parent: Kernel, variation: Variation, situation: Situation
    ) -> Variation:
        """Add structural edits: steps of several cross valleys that single ones cannot."""
        rng = situation.rng
        while rng.random() < 1 - 1 / self._edits:
            name = self.parts.credit.choose(rng, among=self.parts.structural)
            edited = Kernel(replace(parent.candidate, source=variation.source), parent.evaluation)
            further = self.parts.operators[name].vary([edited], situation)
            if isinstance(further, Variation):
                variation = Variation(
                    source=further.source,
                    note=f"{variation.note}; then {name}: {further.note}",
                    language=further.language or variation.language,
                )
        return variation

    def _candidate(
        self, operator: Operator, parents: Sequence[Kernel], variation: Variation
    ) -> Candidate:
        source = variation.source
        if operator.name != "tune":
            source = inherit(source, parents[0], self.lineage)
        return Candidate(
            number=self._next,
            source=source,
            language=variation.language or parents[0].candidate.language,
            operator=operator.name,
            parents=tuple(parent.number for parent in parents),
            note=variation.note,
        )

    def _record(self, candidate: Candidate) -> None:
        # What ended while the operator was at work is safe before anything else is begun.
        self._keep_finished()
        self.parts.store.add_candidate(candidate)
        self.parts.observer.notify(Proposed(candidate))

    def _submit(self, candidate: Candidate) -> None:
        self._enlist(candidate, self.parts.evaluator.submit(candidate))

    def _enlist(self, candidate: Candidate, future: Future[Evaluation]) -> None:
        self._pending[candidate.number] = (candidate, future)
        self._digests.add(candidate.digest)
        self._next = candidate.number + 1

    def _insert_due(self, last: int, *, announce: bool = True) -> None:
        """Wait for and insert every pending result up to number `last`, in order."""
        for number in [n for n in self._pending if n <= last]:
            candidate, future = self._pending[number]
            self._wait_for(future)
            if number not in self._stored:
                self._keep_finished()
            del self._pending[number]
            self._insert(Kernel(candidate, future.result()), announce=announce)

    def _wait_for(self, future: Future[Evaluation]) -> None:
        while not self._interrupted and not future.done():
            waiting = [f for _, f in self._pending.values() if not f.done()]
            wait(waiting, timeout=INTERRUPT_S, return_when=FIRST_COMPLETED)
            self._keep_finished()
        if self._interrupted:
            self._keep_finished()
            raise _Interrupted

    def _keep_finished(self) -> None:
        """Put every finished result into the store, those not yet due included.

        Raises the error of an evaluation that failed, after the others have been kept.
        """
        finished = [n for n, (_, f) in self._pending.items() if n not in self._stored and f.done()]
        failed = None
        for number in finished:
            candidate, future = self._pending[number]
            if (error := future.exception()) is not None:
                failed = failed or error
                continue
            self.parts.store.add_evaluation(number, future.result())
            self._stored.add(number)
            if candidate.operator == "tune":
                self.parts.store.add_trial(trial_of(Kernel(candidate, future.result())))
        if finished:
            self.parts.store.set_meta("wall_s", self.spent().wall_s)
        if failed is not None:
            raise failed

    def _insert(self, kernel: Kernel, *, announce: bool) -> None:
        before = self.champion
        self.lineage.add(kernel)
        self.parts.population.insert(kernel)
        parents = [self.lineage.get(number) for number in kernel.candidate.parents]
        self.parts.credit.record(kernel, parents)
        self._device_s += kernel.evaluation.device_s
        is_best = self.champion is not before
        if is_best:
            self._best_at = len(self.lineage.kernels)
            self._improvements.append(kernel.number)
        if announce:
            self.parts.observer.notify(Judged(kernel=kernel, is_best=is_best, spent=self.spent()))
