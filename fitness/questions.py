"""The kinds of questions that a candidate is asked beside its workloads' own inputs.

Every evaluation asks the cheap ones, on the smallest workload; `rigour = "thorough"` asks all of
them. A question that cannot be asked of a problem is skipped, and the reason is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any, Protocol

import torch

from fitness import distributions
from fitness.cases import Case, CaseBank
from fitness.fairness import Skipped
from fitness.interview import Reply
from fitness.process import Fault
from fitness.session import Apart, Session
from fitness.spec import EvaluationSpec
from fitness.strain import response_fault, strain_of_equals, summands
from fitness.variants import Argument, Drawn, Held, OneRow, Transposed, arguments_of
from populations.outcome import Outcome

__all__ = ["PASSED", "Question", "Session", "questions"]

PASSED = "passed"
# A state of more bytes is changed in thorough evaluations only.
_STATE_BYTES = 256 << 20
# Entries of the state changed one by one; of more, some are drawn.
_MOST_ENTRIES = 16
Facts = dict[str, Any]


class Question(Protocol):
    """One kind of question."""

    @property
    def name(self) -> str:
        """As it is reported."""
        ...

    def count(self, bank: CaseBank) -> int:
        """How many checks it stands for."""
        ...

    def ask(self, session: Session) -> Facts:
        """Ask a candidate, which is left as it was.

        Returns:
            What came of it, JSON-able; may be empty. Raises Fault for the first mistake.
        """
        ...


def questions(spec: EvaluationSpec) -> tuple[Question, ...]:
    """What is asked under `spec`, in this order."""
    if spec.rigour == "search":
        return (SameMemory(), Workloads(), ChangedWeights())
    return (
        SameMemory(),
        Workloads(in_same_memory=True),
        Distributions(),
        EachArgument(),
        ChangedWeights(each=True),
        Layouts(),
        HeldOutShapes(),
    )


class SameMemory:
    """The smallest workload: once, then with inputs replaced in place between held outputs.

    The series ends with the first call's inputs: both answers must be right, and how far they
    differ is reported.
    """

    name = "same memory"

    def count(self, bank: CaseBank) -> int:
        """One per seed."""
        return bank.seeds

    def ask(self, session: Session) -> Facts:
        """Ask; the facts are how far two answers to the same inputs differ."""
        bank, workload = session.bank, session.smallest
        reply = session.put([bank.case(workload, 0)])[0]
        _require(reply, f"workload {workload!r}, {_seed(bank, 0)}: ")
        difference = _in_series(session, workload, reply)
        session.progress.details.update(reply.verdict.details)
        return {"largest difference": difference}


def _in_series(session: Session, workload: str, before: Reply) -> float:
    """Seeds and mixed amplitudes in the same memory, seed 1 last; how far that is from before."""
    bank, spec = session.bank, session.judge.spec
    first = bank.case(workload, 0)
    named: list[tuple[str, Case]] = []
    # Nearly what was asked for before: whoever looks at a part of the inputs takes it for that.
    with suppress(Skipped):
        named.append(("one row changed", bank.varied(workload, 0, OneRow())))
    named += [(_seed(bank, n), bank.case(workload, n)) for n in range(1, min(bank.seeds, 4))]
    with suppress(Skipped):
        mixed = bank.varied(workload, 0, Drawn(distributions.MIXED))
        named.append(("mixed amplitudes", mixed))
    named = [(name, case) for name, case in named if case.specs == first.specs]
    # Two calls at least: one must not disturb what the other returned.
    named = [*(named or [(_seed(bank, 0), first)]), (f"{_seed(bank, 0)} again", first)]
    replies = session.put([case for _, case in named])
    name = named[len(replies) - 1][0]
    where = f"workload {workload!r}, {name}, call {len(replies)} of {len(named)} in the same memory"
    _require(replies[-1], f"{where}: ")
    difference = _spread(before, replies[-1])
    if spec.determinism == "bitwise" and difference:
        text = f"{where}: two answers to the same inputs differ by {difference:.3g}"
        raise Fault(Outcome.WRONG_VALUES, text)
    return difference


def _seed(bank: CaseBank, number: int) -> str:
    return f"seed {number + 1} of {bank.seeds}"


class Workloads:
    """Every other workload and seed."""

    name = "workloads"

    def __init__(self, *, in_same_memory: bool = False) -> None:
        """Ask each seed once, or then all of a workload again in the same memory."""
        self._in_same_memory = in_same_memory

    def count(self, bank: CaseBank) -> int:
        """One per workload and seed."""
        return (len(bank.workloads) - 1) * bank.seeds

    def ask(self, session: Session) -> Facts:
        """Ask; the facts are how far repeated answers to the same inputs differ."""
        bank, facts = session.bank, dict[str, Any]()
        for workload in bank.workloads[1:]:
            for number in range(bank.seeds):
                reply = session.put([bank.case(workload, number)])[0]
                _require(reply, f"workload {workload!r}, {_seed(bank, number)}: ")
                session.progress.checks_passed += 1
                if number == 0 and self._in_same_memory:
                    difference = _in_series(session, workload, reply)
                    facts.setdefault("largest difference", {})[workload] = difference
            session.progress.details.update(reply.verdict.details)
        return facts


def _spread(first: Reply, last: Reply) -> float:
    """The largest difference of two answers to the same inputs; 0 when they are equal."""
    largest = 0.0
    for before, after in zip(first.outputs, last.outputs, strict=True):
        if not torch.equal(before, after):
            wide = torch.complex128 if before.is_complex() else torch.float64
            difference = (before.to(wide) - after.to(wide)).abs().nan_to_num(0.0, 0.0, 0.0)
            largest = max(largest, float(difference.max()))
    return largest


class Distributions:
    """Other inputs than the problem draws, on the smallest workload.

    A kernel that overflows on inputs close to the largest numbers is weak, not wrong: another
    order of the same steps may do that. So is one that errs by a little more than is allowed where
    many inputs are equal, and by no more than rounding that does not average out.
    """

    name = "distributions"

    def count(self, _: CaseBank) -> int:
        """One for all."""
        return 1

    def ask(self, session: Session) -> Facts:
        """Ask each; the facts say which passed and why others were not asked."""
        variants = [Drawn(distribution) for distribution in distributions.ALL]
        return _each(session, variants)


class Layouts:
    """Inputs with their last two dimensions swapped in memory, where the problem allows it."""

    name = "layouts"

    def count(self, _: CaseBank) -> int:
        """One for all."""
        return 1

    def ask(self, session: Session) -> Facts:
        """Ask on the smallest workload."""
        if session.bank.problem.layouts != "any":
            return {"transposed": "skipped: the problem's inputs keep the layout it gives them"}
        return _each(session, [Transposed()])


class EachArgument:
    """One argument changed, the others as they were: the output must follow as the reference's.

    A kernel made for a plain number, as others are for a shape, is honest if it refuses other
    numbers: raising is a weakness that is reported (unless held-out shapes are required), to
    compute with the old number is a mistake.
    """

    name = "each argument"

    def count(self, _: CaseBank) -> int:
        """One for all."""
        return 1

    def ask(self, session: Session) -> Facts:
        """Ask on the smallest workload."""
        first = session.bank.case(session.smallest, 0)
        variants = [Argument(number) for number in arguments_of(first.tree, first.specs)]
        tensors = [v for v in variants if v.number < len(first.specs)]
        facts = _each(session, tensors, beside=first)
        with ExitStack() as stack:
            apart = Apart(session, stack)
            for variant in variants[len(tensors) :]:
                facts |= self._number(apart, variant, first)
        return facts

    def _number(self, apart: Apart, variant: Argument, first: Case) -> Facts:
        session = apart.session(first.dtype)
        try:
            return _each(session, [variant], beside=first)
        except Fault as fault:
            required = apart.spec.held_out == "require"
            if fault.outcome is not Outcome.RUNTIME_ERROR or required:
                raise
            apart.leave()
            return {variant.name: f"refused: {fault.text.splitlines()[0]}"}


class ChangedWeights:
    """The state changed in place after construction: all of it at once, then each entry alone."""

    name = "changed weights"

    def __init__(self, *, each: bool = False) -> None:
        """Change all entries at once, or then each alone too."""
        self._each = each

    def count(self, _: CaseBank) -> int:
        """One for all."""
        return 1

    def ask(self, session: Session) -> Facts:
        """Ask on the smallest workload; the state is as it was afterwards."""
        bank, spec = session.bank, session.judge.spec
        if not bank.state_names:
            return {}
        if spec.allow_packed_weights:
            return {"all": "skipped: weights may be packed at construction"}
        if not self._each and sum(s.nbytes for s in bank.constants.state) > _STATE_BYTES:
            return {"all": "skipped: the state is large"}
        entries: list[tuple[str, ...]] = [()]
        if self._each and len(bank.state_names) > 1:
            names = list(bank.state_names)
            if len(names) > _MOST_ENTRIES:
                names = session.judge.rng.sample(names, _MOST_ENTRIES)
            entries += [(name,) for name in names]
        facts: Facts = {}
        for entry in entries:
            facts[entry[0] if entry else "all"] = self._change(session, entry)
        return facts if self._each or facts["all"] != PASSED else {}

    def _change(self, session: Session, names: tuple[str, ...]) -> str:
        bank, process, workload = session.bank, session.process, session.smallest
        try:
            case = bank.restated(workload, 0, names)
        except Skipped as skipped:
            return f"skipped: {skipped}"
        assert case.state is not None  # noqa: S101 - `restated` gives it one
        if not process.set_state(case.state, case.dtype):
            return self._without_state(bank)
        what = f"parameter {names[0]!r}" if names else "all parameters"
        where = f"workload {workload!r}, {what} changed in place after construction: "
        _require(session.put([case])[0], where)
        process.set_state(bank.original_state(), case.dtype)
        return PASSED

    def _without_state(self, bank: CaseBank) -> str:
        """A candidate with other state than the reference's: its weights come from the seed."""
        if fixed := bank.constant_parameters:
            # Their values say nothing: whoever leaves them out has the right result by accident.
            text = (
                f"ModelNew's state is not the reference's, and the parameter {fixed[0]!r} has the "
                "same values whatever the seed: whether forward uses it cannot be told. Keep the "
                "reference's names and shapes in state_dict()"
            )
            raise Fault(Outcome.WRONG_VALUES, text)
        return "skipped: the candidate's state is not the reference's, so it comes from the seed"


class HeldOutShapes:
    """Shapes near those asked for: tails, primes, size 1.

    A kernel made for its shapes is honest if it refuses others: raising is a weakness that is
    reported, a wrong value is a mistake (`EvaluationSpec.held_out`).
    """

    name = "held-out shapes"

    def count(self, _: CaseBank) -> int:
        """One for all."""
        return 1

    def ask(self, session: Session) -> Facts:
        """Ask in processes of their own: one that raised is of no more use."""
        bank, facts = session.bank, dict[str, Any]()
        if session.judge.spec.held_out == "ignore":
            return {}
        with ExitStack() as stack:
            apart = Apart(session, stack)
            for shape in bank.problem.held_out_shapes(session.smallest):
                variant = Held(shape.name, shape.arguments, shape.rows)
                try:
                    case = bank.varied(session.smallest, 0, variant)
                except Skipped as skipped:
                    facts[shape.name] = f"skipped: {skipped}"
                    continue
                facts[shape.name] = self._ask(apart.session(case.dtype), case, shape.name)
                if facts[shape.name] != PASSED:
                    apart.leave()
        return facts

    def _ask(self, session: Session, case: Case, name: str) -> str:
        where = f"shape {name}, which was not asked for: "
        try:
            reply = session.put([case])[0]
        except Fault as fault:
            if session.judge.spec.held_out == "require" or fault.outcome is Outcome.CHEATED:
                raise Fault(fault.outcome, where + fault.text, fault.details) from fault
            return f"refused: {fault.text.splitlines()[0]}"
        _require(reply, where)
        return PASSED


def _each(
    session: Session, variants: Sequence[Drawn | Transposed | Argument], beside: Case | None = None
) -> Facts:
    """Ask every variant; with `beside`, in one series with that case and by how both differ."""
    workload, facts = session.smallest, dict[str, Any]()
    for variant in variants:
        try:
            case = session.bank.varied(workload, 0, variant)
        except Skipped as skipped:
            facts[variant.name] = f"skipped: {skipped}"
            continue
        where = f"workload {workload!r}, {variant.name}: "
        both = beside is not None and beside.specs == case.specs
        replies = session.put([beside, case] if beside is not None and both else [case])
        if variant.extreme and not _finite(replies[-1]):
            facts[variant.name] = "weak: overflows where the reference does not"
            continue
        if variant.repeats and _rounds(case, replies[-1]):
            facts[variant.name] = "weak: rounding of equal numbers adds up"
            continue
        _require(replies[-1], where)
        if beside is not None and both:
            before, after = (r.outputs for r in replies)
            if text := response_fault(beside.expected, case.expected, before, after):
                raise Fault(Outcome.WRONG_VALUES, where + text)
        facts[variant.name] = PASSED
    return facts


def _rounds(case: Case, reply: Reply) -> bool:
    """Whether wrong values are off by no more than rounding that does not average out."""
    if reply.verdict.outcome is not Outcome.WRONG_VALUES or not reply.outputs:
        return False
    count = summands(case.specs)
    pairs = zip(case.expected, reply.outputs, strict=True)
    return all(strain_of_equals(want, output, count) <= 1 for want, output in pairs)


def _finite(reply: Reply) -> bool:
    return all(bool(torch.isfinite(o).all()) for o in reply.outputs if o.is_floating_point())


def _require(reply: Reply, where: str) -> None:
    verdict = reply.verdict
    if verdict.outcome is not Outcome.PASSED:
        raise Fault(verdict.outcome, where + verdict.text, verdict.details)
