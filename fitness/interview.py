"""Put cases to a candidate's process and compare every answer, however it is returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fitness.answers import Traits
from fitness.cases import Case, CaseBank
from fitness.correctness import Verdict, compare_structure, compare_values
from fitness.exchange import OutputRegion, TensorSpec
from fitness.process import CandidateProcess
from populations.outcome import Outcome

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Reply:
    """What one call of a series came to.

    Attributes:
        verdict: Whether it is right.
        outputs: Copies of its outputs on the judge's device; none where their structure is wrong.
    """

    verdict: Verdict
    outputs: tuple[torch.Tensor, ...] = ()


def put(
    process: CandidateProcess, bank: CaseBank, cases: Sequence[Case], device: str
) -> list[Reply]:
    """Call a constructed candidate on cases, one after the other in the same memory, and compare.

    Args:
        process: The candidate.
        bank: The cases' owner.
        cases: At least one; alike but for contents.
        device: Where to compare.

    Returns:
        One reply per case, up to the first that is wrong. Raises Fault if the candidate fails.
    """
    specs = cases[0].output_specs
    with OutputRegion(specs * len(cases)) as region:
        answer = process.call(cases, region)
        taken = [t.to(device) for t in region.take()]
    calls = answer.get("calls")
    replies = []
    for number, case in enumerate(cases):
        call = calls[number] if isinstance(calls, list) and number < len(calls) else None
        outputs = taken[number * len(specs) : (number + 1) * len(specs)]
        replies.append(_reply(bank, case, call if isinstance(call, dict) else {}, outputs))
        if replies[-1].verdict.outcome is not Outcome.PASSED:
            return replies
    for number, (case, call) in enumerate(zip(cases, calls or [], strict=False)):
        if stale := _stale(case, call):
            text = (
                f"output {stale[0]} of call {number + 1} changed while {len(cases)} calls were "
                "made: what forward returned must stay as it is when forward is called again"
            )
            replies[-1] = Reply(Verdict(Outcome.WRONG_VALUES, text), replies[-1].outputs)
            break
    return replies


def _reply(
    bank: CaseBank, case: Case, call: Mapping[str, Any], outputs: list[torch.Tensor]
) -> Reply:
    tree, specs = call.get("tree"), _specs(call.get("specs"))
    if wrong := compare_structure(case.output_tree, case.output_specs, tree, specs):
        return Reply(wrong)
    if wrong := compare_traits(case.traits, call.get("traits")):
        return Reply(wrong)
    changed = call.get("changed")
    if not isinstance(changed, list) or any(c not in case.changed for c in changed):
        text = f"forward changes its inputs (tensors {changed}), the reference does not"
        return Reply(Verdict(Outcome.WRONG_VALUES, text))
    # Few of the values of a structured input are independent: nothing can be told from their
    # errors' resemblance.
    plain = case.state is None and (case.variant is None or case.variant.random)
    lowered = (lambda: bank.lowered(case)) if plain else None
    return Reply(compare_values(case.expected, outputs, lowered), tuple(outputs))


def compare_traits(expected: Sequence[Traits], given: Any) -> Verdict | None:
    """Compare devices and what is left to the reader; None when nothing is wrong.

    Strides may be any that give every element its own memory: the order of dimensions and gaps
    between rows are the candidate's choice. Where the reference returns an expanded or a lazily
    conjugated tensor, so may the candidate.
    """
    traits = [Traits.from_json(item) for item in given] if isinstance(given, list) else []
    if len(traits) != len(expected):
        return Verdict(Outcome.WRONG_SHAPE, "forward's outputs are not described")
    for number, (want, got) in enumerate(zip(expected, traits, strict=True)):
        if got.device != want.device:
            text = f"output {number} is on {got.device}, but the reference's is on {want.device}"
            return Verdict(Outcome.WRONG_DTYPE, text)
        if got.overlapping and not want.overlapping:
            text = (
                f"output {number} holds several elements in the same memory (expand, stride 0), "
                "but every element of the reference's has its own"
            )
            return Verdict(Outcome.WRONG_SHAPE, text)
        if got.pending and not want.pending:
            text = f"output {number} leaves a negation or conjugation to whoever reads it"
            return Verdict(Outcome.WRONG_VALUES, text)
    return None


def _stale(case: Case, call: Any) -> list[int]:
    stale = call.get("stale") if isinstance(call, dict) else None
    numbers = [n for n in stale if isinstance(n, int)] if isinstance(stale, list) else [0]
    # The reference's own outputs lie in an input's memory or in the state, and change with it.
    return [n for n in numbers if n not in case.aliased]


def _specs(data: Any) -> list[TensorSpec]:
    """What a runner says its outputs are; nothing of it is believed beyond a comparison."""
    found: list[TensorSpec] = []
    for item in data if isinstance(data, list) else []:
        try:
            found.append(TensorSpec(str(item[0]), tuple(int(n) for n in item[1])))
        except (IndexError, KeyError, TypeError, ValueError):
            found.append(TensorSpec("unreadable", ()))
    return found
