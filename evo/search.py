"""The loop: select, vary, evaluate, insert, record, until the budget is spent.

    take up what the store holds
    until a stop rule fires:
        insert the judged kernels that are due, in order of proposal
        choose an operator and parents, vary, record the candidate, submit it
        (or record the proposal and ask the model that the operator wants to hear,
        or measure a kernel again that may be the best)

Proposal `n` is made when every result up to `n - in_flight` has been inserted, never earlier and
never later, from a random generator of its own seeded by (seed, n). The lineage is therefore a
function of the seed and of the results alone, not of the order in which evaluations happen to end:
the same recorded measurements give the same lineage, and a killed run goes on as if unbroken.

A candidate is in the store before it is submitted, and its evaluation before it is inserted, so
that a run killed at any moment knows what it had begun and what it had found.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evo.budget import Budget, Spent, exhausted
from evo.events import Dropped, Judged, Proposed, Remeasured, Resumed
from evo.parts import SEED, Parts
from evo.pending import Interrupted, Measured, Pending, Question, Waiting
from evo.proposing import ATTEMPTS, Proposer
from evo.resumption import EARLY_INSERT, Past, complete_trials, with_seeds
from operators.tuning import hopeless
from populations.errors import StoreError
from populations.estimates import Estimates
from populations.kernel import Candidate, Kernel
from populations.lineage import Lineage
from populations.outcome import Evaluation
from populations.policies.policy import Change
from populations.rows import Proposal, Remeasurement
from populations.statistics import Progress


class Search:
    """One steady-state evolutionary search over one store.

    Args:
        parts: Store, evaluator, operators and the rest; the search closes none of them.
        budget: When to stop.
        seed: Root of all randomness.
        in_flight: Proposals under evaluation at once.
        device: "cpu" or "cuda"; operators may look at it.
        edits: Mean number of structural edits in one mutation, at least 1.
        remeasure: How often a kernel that may be the best is measured again at most.
        screening: Kernels that operators make for one proposal (`operators.screening`); 0: one
            that is taken as it comes.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        budget: Budget,
        seed: int,
        in_flight: int,
        device: str,
        edits: float,
        remeasure: int = 0,
        screening: int = 0,
    ) -> None:
        if in_flight < 1 or edits < 1:
            raise ValueError(f"need at least 1 of each, but got {in_flight=} {edits=}")
        self.parts = parts
        self.lineage = Lineage()
        self.progress = Progress()
        self._budget = budget
        self._in_flight = in_flight
        self._proposer = Proposer(
            parts, self.lineage, seed=seed, device=device, edits=edits, screening=screening
        )
        self._pending = Pending(
            parts.store,
            parts.evaluator,
            parts.desk,
            parts.observer.notify,
            interrupted=lambda: self._interrupted,
            too_late=self._too_late,
            kept=lambda: parts.store.set_meta("wall_s", self.spent().wall_s),
        )
        self._estimates = Estimates(again=remeasure)
        self._remeasured = 0
        self._early = dict(parts.early)
        self._changes_kept = 0
        self._known: set[str] = set()
        self._next = 0
        self._began = time.monotonic()
        self._earlier_s = 0.0
        self._device_s = 0.0
        self._best_at = 0
        self._improvements: list[int] = []
        self._interrupted = False
        self._waiting = False

    @property
    def champion(self) -> Kernel | None:
        """The best kernel so far: it beat its predecessor with the lower end of its interval."""
        return self.progress.champion

    @property
    def interrupted(self) -> bool:
        """Whether `interrupt` was called."""
        return self._interrupted

    @property
    def waiting(self) -> bool:
        """Whether the search ended because nothing goes on before answers come from outside."""
        return self._waiting

    def spent(self) -> Spent:
        """What the search has used, earlier sessions of a resumed run included."""
        return Spent(
            evaluations=self._evaluations,
            wall_s=self._earlier_s + time.monotonic() - self._began,
            device_s=self._device_s,
            in_flight=len(self._pending),
            cost_usd=self.parts.desk.spending.cost_usd if self.parts.desk else 0.0,
            since_best=self._evaluations - self._best_at,
        )

    @property
    def _evaluations(self) -> int:
        return len(self.lineage.kernels) + self._remeasured

    def interrupt(self) -> None:
        """End the search soon and in good order, without waiting for what is under evaluation.

        May be called from a signal handler or from another thread.
        """
        self._interrupted = True

    def run(self, seeds: Sequence[Kernel] = ()) -> str:
        """Search until a stop rule fires; returns it in a few words, or "interrupted".

        Args:
            seeds: The first kernels, judged, numbered from 0. What the store holds already is
                passed over; none are needed once it holds them all, nor where `Parts.first` makes
                the first ones.

        Raises:
            EvoError: The evaluator itself failed. Everything judged by then is in the store.
        """
        self._began = time.monotonic()
        try:
            self._take_up(seeds)
            reason = self._until_exhausted()
            self._insert_due(self._next - 1)
        except Interrupted:
            reason = "interrupted"
        except Waiting:
            self._waiting = True
            count = len(self.parts.desk.waiting()) if self.parts.desk else 0
            reason = f"waiting for {count} answers"
        return reason

    def _too_late(self) -> str:
        limit_s = self._budget.wall_s
        if limit_s is None or self.spent().wall_s < limit_s:
            return ""
        return f"the search ended: {limit_s:g} s of wall time"

    def _until_exhausted(self) -> str:
        """Propose and insert until a stop rule fires; returns which."""
        while True:
            self._insert_due(max(self._next - self._in_flight, self._early.get(self._next, -1)))
            spent = self.spent()
            reason = exhausted(self._budget, spent)
            if reason and exhausted(self._budget, replace(spent, in_flight=0)):
                # Not waited for: the answers could not be judged within the budget any more.
                self._pending.abandon_questions(f"the search ended: {reason}")
                return reason
            if desk := self.parts.desk:
                if over := desk.spending.exhausted():
                    return over
                reason = reason or desk.spending.full() or self._fruitless()
            if not reason and self._proposed():
                continue
            if not self._pending:
                # A policy whose parents are used up need not be the end of a search.
                if not reason and self._proposed(anyone=True):
                    continue
                return reason or "no operator finds anything new"
            # A proposal that comes to nothing leaves room, and one that is judged something new.
            self._insert_early(record=not reason)

    def _fruitless(self) -> str:
        """Why nothing is asked any more where there was no kernel to begin with."""
        if self.lineage.kernels or self._next < ATTEMPTS:
            return ""
        return f"no kernel came of {self._next} proposals"

    def _proposed(self, *, anyone: bool = False) -> bool:
        """Make and begin the next proposal; False when nothing new was found in this turn.

        With `anyone`, every kernel that passed may be a parent and every operator has the same
        chance, but no model is asked.
        """
        doubtful = self._estimates.doubtful(self.champion, self.parts.policy.members)
        if doubtful is not None:
            self._pending.keep_finished()
            self.parts.store.add_remeasurement(Remeasurement(self._next, doubtful.number))
            self._measure_again(self._next, doubtful.number)
            return True
        made = self._propose(anyone=anyone)
        if made is None:
            return False
        if isinstance(made, Candidate):
            self._record(made)
            self.parts.policy.proposed(made.number, made.parents)
            self._submit(made)
        else:
            # What ended while the operator was at work is safe before anything else is begun.
            self._pending.keep_finished()
            self.parts.store.add_proposal(made.proposal)
            self.parts.policy.proposed(made.proposal.number, made.proposal.parents)
            self._ask(made)
        return True

    def _measure_again(
        self, number: int, kernel: int, evaluation: Evaluation | None = None
    ) -> None:
        again = self.lineage.get(kernel)
        self._estimates.begin(again)
        self._pending.measure_again(number, again.candidate, evaluation)
        self._next = number + 1

    def _insert_early(self, *, record: bool) -> None:
        number = min(self._pending)
        # Earlier than the rule says: a run that is resumed or grown again must know, unless it
        # follows from the numbers of what is under way.
        if record or self.parts.desk is not None:
            data = {"number": number, "before": self._next}
            self.parts.store.add_event(EARLY_INSERT, data)
        self._insert_due(number)

    def _take_up(self, seeds: Sequence[Kernel]) -> None:
        """Insert what the store holds, in order, and begin again what was under way."""
        store = self.parts.store
        self._earlier_s = float(store.meta("wall_s") or 0.0)
        past = Past.of(store)
        resumed = bool(past.evaluations)
        past = with_seeds(store, past, seeds)
        self._early |= past.early
        self._changes_kept = past.changes
        again, last_seed = [], -1
        for number in past.numbers:
            self._next = number
            candidate = past.candidates.get(number)
            if candidate is not None and candidate.operator == SEED:
                last_seed = number
            else:
                # As far as the run had come when it made this proposal.
                due = max(number - self._in_flight, last_seed, self._early.get(number, -1))
                self._insert_due(due, announce=not resumed)
            if (kernel := past.remeasurements.get(number)) is not None:
                self._measure_again(number, kernel, past.remeasured.get(number))
                continue
            if candidate is None and number not in past.rejections:
                self._ask_again(past.proposals[number])
            elif candidate is None:
                self._pending.dropped(past.proposals[number], past.rejections[number])
            elif (evaluation := past.evaluations.get(number)) is not None:
                self._pending.known(candidate, evaluation)
            else:
                again.append(candidate)
                self._pending.submit(candidate, self._hopeless(candidate))
            if candidate is not None and number not in past.proposals:
                self._known.add(self.parts.novelty.key(candidate))
            # A candidate of a model may have other parents than those its proposal was made with.
            made = past.proposals.get(number) or candidate
            if made is not None and number != last_seed:
                self.parts.policy.proposed(number, made.parents)
            self._next = number + 1
        complete_trials(store, past)
        self._insert_due(max(self._next - 1 - self._in_flight, last_seed), announce=not resumed)
        if resumed:
            kernels = tuple(self.lineage.kernels.values())
            best = tuple(n for n in self._improvements if self.lineage.get(n).passed)
            self.parts.observer.notify(
                Resumed(kernels=kernels, improvements=best, spent=self.spent())
            )
        for candidate in again:
            self.parts.observer.notify(Proposed(candidate))

    def _propose(self, *, anyone: bool = False) -> Candidate | Question | None:
        return self._proposer.propose(
            self._next,
            champion=self.champion,
            known=self._known,
            under_way=self._pending.made_by(self._proposer.looks_ahead_of),
            anyone=anyone,
        )

    def _record(self, candidate: Candidate) -> None:
        # What ended while the operator was at work is safe before anything else is begun.
        self._pending.keep_finished()
        self.parts.store.add_candidate(candidate)
        self.parts.observer.notify(Proposed(candidate))

    def _submit(self, candidate: Candidate) -> None:
        self._pending.submit(candidate, self._hopeless(candidate))
        self._known.add(self.parts.novelty.key(candidate))
        self._next = candidate.number + 1

    def _hopeless(self, candidate: Candidate) -> Mapping[str, float]:
        if candidate.operator != "tune":
            return {}
        return hopeless(candidate, self.lineage, self.parts.early_stop)

    def _ask(self, made: Question) -> None:
        self._pending.ask(made.proposal, made.conversation, made.language)
        self._next = made.proposal.number + 1

    def _ask_again(self, proposal: Proposal) -> None:
        """Begin a dialogue again that a run was in when it ended; recorded answers are not lost."""
        made = self._propose()
        if not isinstance(made, Question) or made.proposal != proposal:
            raise StoreError(
                f"proposal {proposal.number} cannot be made again: the run was made by other "
                f"operators, models or settings than these"
            )
        self._ask(made)

    def _insert_due(self, last: int, *, announce: bool = True) -> None:
        """Wait for and insert every pending result up to number `last`, in order."""
        for number in [n for n in self._pending if n <= last]:
            operator, result = self._pending.operator(number), self._pending.result(number)
            if isinstance(result, Kernel):
                self._insert(result, announce=announce)
                continue
            if isinstance(result, Measured):
                self._believe(result, announce=announce)
                continue
            self.parts.policy.dropped(number)
            self.parts.credit.miss(operator, asking=self._asking(number))
            if announce:
                self.parts.observer.notify(Dropped(operator, result))

    def _asking(self, number: int) -> float:
        """What models cost for a proposal, in evaluations."""
        if self.parts.desk is None:
            return 0.0
        return self.parts.desk.cost_usd(number) / self.parts.evaluation_usd

    def _insert(self, kernel: Kernel, *, announce: bool) -> None:
        self._known.add(self.parts.novelty.key(kernel.candidate))
        self.lineage.add(kernel)
        for change in self.parts.policy.insert(kernel):
            self._keep(change)
        parents = [self.lineage.get(number) for number in kernel.candidate.parents]
        if not parents and (self.parts.rivals or self.parts.first):
            # The very first of a run without seeds beats nobody.
            parents = [self.champion] if self.champion else []
        if parents or not self.parts.first:
            self.parts.credit.record(kernel, parents, asking=self._asking(kernel.number))
        self._device_s += kernel.evaluation.device_s
        is_best = self.progress.insert(kernel, self.parts.policy.members)
        if is_best:
            self._best_at = self._evaluations
            self._improvements.append(kernel.number)
        if announce:
            self.parts.observer.notify(Judged(kernel=kernel, is_best=is_best, spent=self.spent()))

    def _believe(self, measured: Measured, *, announce: bool) -> None:
        """Take in what was measured again."""
        old = self.lineage.get(measured.kernel)
        kernel = self._estimates.measured(old, measured.evaluation)
        self._remeasured += 1
        self._device_s += measured.evaluation.device_s
        self.lineage.remeasured(kernel)
        self.parts.policy.remeasured(kernel)
        is_new = self.progress.remeasured(kernel)
        champion = self.champion
        if is_new and champion is not None:
            self._best_at = self._evaluations
            self._improvements.append(champion.number)
        if announce:
            event = Remeasured(kernel=kernel, champion=champion, is_new=is_new, spent=self.spent())
            self.parts.observer.notify(event)

    def _keep(self, change: Change) -> None:
        """Store what a policy did, unless an earlier session of the run has."""
        if self._changes_kept:
            self._changes_kept -= 1
        else:
            self.parts.store.add_event(change.kind, change.data)
