"""What is under way in a search: proposals that a model is asked for, candidates being judged.

Everything that comes to an end is in the store before the search hears of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from typing import Any

from evo.events import Event, Proposed
from fitness.evaluator import NOWHERE, Evaluator
from operators.dialogue import Conversation, Rejected
from operators.llm.desk import Desk, Ended
from operators.tuning import trial_of
from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation
from populations.rows import Proposal, Rejection
from populations.store import Store

# How often a waiting search looks whether it has been interrupted.
INTERRUPT_S = 0.1
REMEASURE = "remeasure"


@dataclass(frozen=True, slots=True)
class Question:
    """A proposal that a model has to be asked for."""

    proposal: Proposal
    conversation: Conversation
    language: str


class Interrupted(Exception):
    """Somebody asked the search to end."""


class Waiting(Exception):
    """Nothing goes on before somebody outside of this process has answered."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A kernel was measured again.

    Attributes:
        kernel: Its number.
        evaluation: What was found this time.
    """

    kernel: int
    evaluation: Evaluation


@dataclass(slots=True)
class _Slot:
    """One proposal: asked for, judged, or dropped; or a kernel that is measured again."""

    operator: str
    parents: tuple[int, ...] = ()
    language: str = ""
    candidate: Candidate | None = None
    future: Future[Evaluation] | None = None
    rejection: Rejection | None = None
    again: bool = False

    @property
    def over(self) -> bool:
        return self.rejection is not None or (self.future is not None and self.future.done())


class Pending:
    """Proposals under way, by number."""

    def __init__(
        self,
        store: Store,
        evaluator: Evaluator,
        desk: Desk | None,
        notify: Callable[[Event], None],
        *,
        interrupted: Callable[[], bool],
        too_late: Callable[[], str],
        kept: Callable[[], None],
    ) -> None:
        """Nothing is under way yet.

        Args:
            store: Where everything is kept.
            evaluator: Who judges.
            desk: Who asks models; None where no operator does.
            notify: Told of candidates that come of a dialogue.
            interrupted: Whether waiting is to end.
            too_late: Why no model is waited for any longer, or "".
            kept: Called when evaluations have been stored.
        """
        self._store = store
        self._evaluator = evaluator
        self._desk = desk
        self._notify = notify
        self._interrupted = interrupted
        self._too_late = too_late
        self._kept = kept
        self._slots: dict[int, _Slot] = {}
        self._judged: dict[str, Future[Evaluation]] = {}
        self._stored: set[int] = set()

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._slots))

    def operator(self, number: int) -> str:
        """Who made a proposal that is under way."""
        return self._slots[number].operator

    def submit(self, candidate: Candidate, hopeless: Mapping[str, float] = NOWHERE) -> None:
        """Have a candidate judged that is in the store.

        Args:
            candidate: The candidate.
            hopeless: Where timing it may end early; see `fitness.evaluator.Evaluator`.
        """
        slot = self._slots.setdefault(candidate.number, _Slot(candidate.operator))
        slot.candidate, slot.future = candidate, self._future(candidate, hopeless)

    def made_by(self, operators: Collection[str]) -> tuple[Candidate, ...]:
        """Candidates of some operators that are under way, in order.

        Of operators that ask models it depends on their answers which candidates there are.
        """
        found = (self._slots[number].candidate for number in self)
        return tuple(c for c in found if c is not None and c.operator in operators)

    def known(self, candidate: Candidate, evaluation: Evaluation) -> None:
        """Take up a candidate with its evaluation, both of which are in the store."""
        future = self._judged.setdefault(candidate.digest, Future())
        if not future.done():
            future.set_result(evaluation)
        own: Future[Evaluation] = Future()
        own.set_result(evaluation)
        slot = _Slot(candidate.operator, candidate=candidate, future=own)
        self._slots[candidate.number] = slot
        self._stored.add(candidate.number)

    def measure_again(
        self, number: int, candidate: Candidate, evaluation: Evaluation | None = None
    ) -> None:
        """Have a candidate judged once more, as proposal `number`, which is in the store.

        Args:
            number: The proposal's.
            candidate: The kernel's own.
            evaluation: What was found, where the store holds that too.
        """
        slot = self._slots[number] = _Slot(REMEASURE, candidate=candidate, again=True)
        if evaluation is None:
            slot.future = self._evaluator.submit(replace(candidate, number=number))
            return
        slot.future = Future()
        slot.future.set_result(evaluation)
        self._stored.add(number)

    def dropped(self, proposal: Proposal, rejection: Rejection) -> None:
        """Take up a proposal of which nothing came; both are in the store."""
        slot = _Slot(proposal.operator, proposal.parents, rejection=rejection)
        self._slots[proposal.number] = slot

    def ask(self, proposal: Proposal, conversation: Conversation, language: str) -> None:
        """Begin the dialogue of a proposal that is in the store.

        Args:
            proposal: Who asks, of which parents.
            conversation: What the operator's `vary` returned.
            language: What a candidate is written in unless the operator says otherwise.
        """
        self._slots[proposal.number] = _Slot(proposal.operator, proposal.parents, language)
        self._the_desk.open(proposal.number, proposal.operator, conversation)

    def result(self, number: int) -> Kernel | Measured | Rejection:
        """Wait for a proposal's end and give it up.

        Raises:
            Interrupted: Waiting was ended. What had come to an end is in the store.
            Waiting: Only somebody outside can end it.
            EvoError: The evaluator itself failed.
        """
        slot = self._slots[number]
        while not self._interrupted() and not slot.over:
            self._wait(slot)
        if self._interrupted():
            self.keep_finished()
            raise Interrupted
        if number not in self._stored:
            self.keep_finished()
        del self._slots[number]
        if slot.rejection is not None:
            return slot.rejection
        assert slot.candidate is not None  # noqa: S101 - a slot that is over without a rejection
        assert slot.future is not None  # noqa: S101 - likewise
        if slot.again:
            return Measured(slot.candidate.number, slot.future.result())
        return Kernel(slot.candidate, slot.future.result())

    def keep_finished(self) -> None:
        """Store every answer, rejection and evaluation there is.

        Raises the error of an evaluation that failed, after the others have been kept.
        """
        before = len(self._stored)
        if self._desk is not None:
            self._settle(self._desk.advance())
        failed = None
        for number, slot in self._slots.items():
            if number in self._stored or slot.future is None or not slot.future.done():
                continue
            if (error := slot.future.exception()) is not None:
                failed = failed or error
                continue
            self._keep(number, slot)
        if len(self._stored) > before:
            self._kept()
        if failed is not None:
            raise failed

    def abandon_questions(self, text: str) -> None:
        """Drop every proposal that still waits for a model; `text` says why."""
        if self._desk is not None:
            self._settle(self._desk.abandon(text))

    @property
    def _the_desk(self) -> Desk:
        if self._desk is None:
            raise ValueError("an operator asks a model, but the search has none")
        return self._desk

    def _wait(self, slot: _Slot) -> None:
        judging = [s.future for s in self._slots.values() if s.future and not s.future.done()]
        answers = self._desk.waiting() if self._desk else []
        if slot.candidate is None and not judging and self._desk and self._desk.dormant():
            raise Waiting
        if slot.candidate is None and (text := self._too_late()):
            self.abandon_questions(text)
            return
        waiting: list[Future[Any]] = [*judging, *answers]
        wait(waiting, timeout=INTERRUPT_S, return_when=FIRST_COMPLETED)
        self.keep_finished()

    def _settle(self, ended: list[Ended]) -> None:
        for end in ended:
            slot = self._slots[end.number]
            if isinstance(end.result, Rejected):
                slot.rejection = Rejection(end.number, end.result.reason, end.result.text)
                self._store.add_rejection(slot.rejection)
                continue
            made = end.result
            candidate = Candidate(
                number=end.number,
                source=made.source,
                language=made.language or slot.language or "python",
                operator=slot.operator,
                parents=slot.parents if made.parents is None else made.parents,
                note=made.note,
            )
            self._store.add_candidate(candidate)
            self._notify(Proposed(candidate))
            self.submit(candidate)

    def _keep(self, number: int, slot: _Slot) -> None:
        assert slot.candidate is not None  # noqa: S101 - it has a future
        assert slot.future is not None  # noqa: S101 - the caller has looked
        self._store.add_evaluation(number, slot.future.result(), kernel=slot.candidate.number)
        self._stored.add(number)
        if slot.operator == "tune":
            self._store.add_trial(trial_of(Kernel(slot.candidate, slot.future.result())))

    def _future(self, candidate: Candidate, hopeless: Mapping[str, float]) -> Future[Evaluation]:
        """The evaluation to come; the same kernel is not judged twice."""
        known = self._judged.get(candidate.digest)
        if known is None or (known.done() and known.exception() is not None):
            more = {"hopeless": hopeless} if hopeless else {}
            known = self._judged[candidate.digest] = self._evaluator.submit(candidate, **more)
        return known
