"""Whether a smaller shape fails as well: what a person would try first with a wrong kernel.

Asked of a candidate whose values were wrong, before its process ends. Nothing that it answers
counts: the fault is passed on with the same outcome, and more text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any

from fitness.cases import Case
from fitness.fairness import Skipped
from fitness.interview import put
from fitness.process import CandidateProcess, Fault
from fitness.variants import Held
from populations.errors import ProblemError
from populations.outcome import Outcome

if TYPE_CHECKING:
    from fitness.judge import Judge, Progress

_MOST = 4
# Inputs and answers of the smallest workload; more is not cheap to ask again.
_CHEAP_BYTES = 16 << 20
# Asked as the problem gives them: neither other weights nor other contents in the same memory.
_PLAIN = re.compile(r"workload '.*', seed \d+ of \d+: ")


@contextmanager
def narrowed(judge: Judge, process: CandidateProcess, progress: Progress) -> Iterator[None]:
    """Look for a smaller shape when what is done inside raises a Fault for wrong values.

    Costs at most four runs of the reference on small shapes, which are kept for other candidates,
    and as many calls. Raises the Fault with the shapes in its text and in its details under
    "shapes".
    """
    try:
        yield
    except Fault as fault:
        wrong = fault.outcome is Outcome.WRONG_VALUES and _PLAIN.match(fault.text)
        if not wrong or not judge.spec.diagnose:
            raise
        with progress.stages.stage("diagnose", judge.lease), judge.lease.shared():
            shapes = smaller(judge, process)
        if not shapes:
            raise
        text = f"{fault.text}\n{_words(shapes)}"
        raise Fault(fault.outcome, text, {**fault.details, "shapes": shapes}) from fault


def smaller(judge: Judge, process: CandidateProcess) -> list[dict[str, Any]]:
    """Ask shapes smaller than the smallest workload's, in ascending order, up to one that fails.

    Returns:
        For each that was asked its name, its inputs and whether it is right; empty where there is
        none, it is not cheap, or the process answers no more.
    """
    bank = judge.bank
    workload = bank.workloads[0]
    full = bank.case(workload, 0)
    if full.nbytes > _CHEAP_BYTES:
        return []
    cases: list[tuple[str, Case]] = []
    for shape in bank.problem.held_out_shapes(workload)[: 2 * _MOST]:
        try:
            case = bank.varied(workload, 0, Held(shape.name, shape.arguments, shape.rows))
        except (Skipped, ProblemError):
            continue
        if _elements(case) < _elements(full):
            cases.append((shape.name, case))
    found: list[dict[str, Any]] = []
    for name, case in sorted(cases, key=lambda named: _elements(named[1]))[:_MOST]:
        try:
            reply = put(process, bank, [case], judge.spec.torch_device)[0]
        except Fault:
            # Wrong is told; a kernel that refuses other shapes than its own says nothing.
            break
        right = reply.verdict.outcome is Outcome.PASSED
        inputs = ", ".join(str(spec) for spec in case.specs)
        found.append({"shape": name, "inputs": inputs, "right": right})
        if not right:
            break
    return found


def _elements(case: Case) -> int:
    return sum(prod(spec.shape) for spec in case.specs)


def _words(shapes: list[dict[str, Any]]) -> str:
    right = ", ".join(str(s["shape"]) for s in shapes if s["right"])
    failing = next((s for s in shapes if not s["right"]), None)
    if failing is None:
        return f"smaller shapes are right: {right}"
    text = f"the smallest shape that fails: {failing['shape']}, inputs {failing['inputs']}"
    return f"{text}; smaller ones are right: {right}" if right else text
