"""Records to rows of `run.db` and back, every field of each.

Rows are read by position, in the order of the tables' columns (`populations.schema`).
"""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from populations.call import Answer, Call, Finish, Message
from populations.kernel import Candidate
from populations.outcome import Evaluation, Outcome, Speedup, Timing

if TYPE_CHECKING:
    from populations.parameters import Value

Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Trial:
    """One tuning trial: a judged point of a skeleton.

    Attributes:
        number: The candidate's number.
        skeleton: What `populations.parameters.skeleton` gives for its source.
        params: The launch parameters' values.
        value: Natural logarithm of the speedup; None for a kernel that failed.
        state: "complete" or "fail".
    """

    number: int
    skeleton: str
    params: Mapping[str, Value]
    value: float | None
    state: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth keeping that is neither a candidate nor an evaluation.

    Attributes:
        kind: What happened, in one word.
        data: JSON-able facts.
        stored_unix_s: When it was stored, seconds since 1970.
    """

    kind: str
    data: Mapping[str, Any]
    stored_unix_s: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal that a language model was asked for.

    Attributes:
        number: Its place in the order of proposals; the candidate that comes of it has the same.
        operator: Who asked.
        parents: Numbers of its parents.
        model: The model's name in the experiment.
    """

    number: int
    operator: str
    parents: tuple[int, ...]
    model: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """A proposal of which no candidate came.

    Attributes:
        number: The proposal's.
        reason: In one word (`operators.dialogue.Reason`).
        text: For people, one line.
    """

    number: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Remeasurement:
    """A proposal to measure a kernel again.

    Attributes:
        number: Its place in the order of proposals; what was measured is kept under it.
        kernel: The kernel's number.
    """

    number: int
    kernel: int


def of_remeasurement(remeasurement: Remeasurement) -> dict[str, Any]:
    """A row of `remeasurements`."""
    return {"number": remeasurement.number, "kernel": remeasurement.kernel}


def to_remeasurement(row: Row) -> Remeasurement:
    """The remeasurement of a row of `remeasurements`."""
    return Remeasurement(*row)


def of_proposal(proposal: Proposal) -> dict[str, Any]:
    """A row of `proposals`."""
    return {
        "number": proposal.number,
        "operator": proposal.operator,
        "parents": json.dumps(proposal.parents),
        "model": proposal.model,
    }


def to_proposal(row: Row) -> Proposal:
    """The proposal of a row of `proposals`."""
    number, operator, parents, model = row
    return Proposal(number, operator, tuple(json.loads(parents)), model)


def of_rejection(rejection: Rejection) -> dict[str, Any]:
    """A row of `rejections`."""
    return {
        "number": rejection.number,
        "reason": rejection.reason,
        "text": _text(rejection.text),
    }


def to_rejection(row: Row) -> Rejection:
    """The rejection of a row of `rejections`."""
    return Rejection(*row)


def of_call(call: Call, *, stored_unix_s: float) -> dict[str, Any]:
    """A row of `calls`."""
    answer = call.answer
    return {
        "proposal": call.proposal,
        "turn": call.turn,
        "operator": call.operator,
        "messages": json.dumps([[m.role, m.text] for m in call.messages]),
        "text": _text(answer.text),
        "finish": answer.finish.value,
        "model": answer.model,
        "tokens_in": answer.tokens_in,
        "tokens_cached": answer.tokens_cached,
        "tokens_out": answer.tokens_out,
        "cost_usd": answer.cost_usd,
        "latency_s": answer.latency_s,
        "stored_unix_s": stored_unix_s,
    }


def to_call(row: Row) -> Call:
    """The call of a row of `calls`."""
    proposal, turn, operator, messages, text, finish, model, given, cached, made, cost, late, _ = (
        row
    )
    answer = Answer(
        text=text,
        finish=Finish(finish),
        model=model,
        tokens_in=given,
        tokens_cached=cached,
        tokens_out=made,
        cost_usd=cost,
        latency_s=late,
    )
    return Call(
        proposal=proposal,
        turn=turn,
        operator=operator,
        messages=tuple(Message(role, said) for role, said in json.loads(messages)),
        answer=answer,
    )


def of_candidate(candidate: Candidate) -> dict[str, Any]:
    """A row of `candidates`."""
    return {
        "number": candidate.number,
        "digest": candidate.digest,
        "language": candidate.language,
        "operator": candidate.operator,
        "note": _text(candidate.note),
        "source": candidate.source,
    }


def of_parents(candidate: Candidate) -> list[dict[str, int]]:
    """The rows of `edges` that lead to a candidate."""
    return [
        {"child": candidate.number, "place": place, "parent": parent}
        for place, parent in enumerate(candidate.parents)
    ]


def to_candidate(row: Row, parents: Sequence[int]) -> Candidate:
    """The candidate of a row of `candidates`; `parents` in order of their places."""
    number, _digest, language, operator, note, source = row
    return Candidate(
        number=number,
        source=source,
        language=language,
        operator=operator,
        parents=tuple(parents),
        note=note,
    )


def of_evaluation(
    number: int, evaluation: Evaluation, *, kernel: int, stored_unix_s: float
) -> dict[str, Any]:
    """A row of `evaluations`: what proposal `number` found out about candidate `kernel`."""
    speedup = evaluation.speedup
    return {
        "number": number,
        "kernel": kernel,
        "outcome": evaluation.outcome.value,
        "checks_passed": evaluation.checks_passed,
        "checks_total": evaluation.checks_total,
        "diagnostics": _text(evaluation.diagnostics),
        "speedup": speedup.value if speedup else None,
        "speedup_low": speedup.low if speedup else None,
        "speedup_high": speedup.high if speedup else None,
        "build_s": evaluation.build_s,
        "run_s": evaluation.run_s,
        "device_s": evaluation.device_s,
        "details": json.dumps(dict(evaluation.details)),
        "stored_unix_s": stored_unix_s,
    }


def of_timings(number: int, timings: Sequence[Timing]) -> list[dict[str, Any]]:
    """The rows of `timings` that belong to one evaluation."""
    return [
        {
            "number": number,
            "position": position,
            "workload": timing.workload,
            "baseline": timing.baseline,
            "candidate_ms": timing.candidate_ms,
            "baseline_ms": timing.baseline_ms,
            "speedup": timing.speedup.value,
            "speedup_low": timing.speedup.low,
            "speedup_high": timing.speedup.high,
            "log_ratios": _packed(timing.log_ratios),
        }
        for position, timing in enumerate(timings)
    ]


def to_evaluation(row: Row, timing_rows: Sequence[Row]) -> Evaluation:
    """The evaluation of a row of `evaluations` and its rows of `timings`, in order."""
    _, _, outcome, passed, total, diagnostics, value, low, high, *seconds, details, _ = row
    build, run, device = seconds
    return Evaluation(
        outcome=Outcome(outcome),
        checks_passed=passed,
        checks_total=total,
        diagnostics=diagnostics,
        timings=tuple(_to_timing(timing_row) for timing_row in timing_rows),
        speedup=None if value is None else Speedup(value=value, low=low, high=high),
        build_s=build,
        run_s=run,
        device_s=device,
        details=json.loads(details),
    )


def of_meta(key: str, value: object) -> dict[str, str]:
    """A row of `meta`."""
    return {"key": key, "value": json.dumps(value)}


def of_event(kind: str, data: Mapping[str, Any], *, stored_unix_s: float) -> dict[str, Any]:
    """A row of `events`, less its id."""
    return {"kind": kind, "data": json.dumps(dict(data)), "stored_unix_s": stored_unix_s}


def to_event(row: Row) -> Event:
    """The event of a row of `events`."""
    _, stored_unix_s, kind, data = row
    return Event(kind=kind, data=json.loads(data), stored_unix_s=stored_unix_s)


def of_trial(trial: Trial) -> dict[str, Any]:
    """A row of `trials`."""
    return {
        "number": trial.number,
        "skeleton": trial.skeleton,
        "params": json.dumps(dict(trial.params)),
        "value": trial.value,
        "state": trial.state,
    }


def to_trial(row: Row) -> Trial:
    """The trial of a row of `trials`."""
    number, digest, params, value, state = row
    return Trial(
        number=number, skeleton=digest, params=json.loads(params), value=value, state=state
    )


def _to_timing(row: Row) -> Timing:
    _, _, workload, baseline, candidate_ms, baseline_ms, value, low, high, log_ratios = row
    return Timing(
        workload=workload,
        baseline=baseline,
        candidate_ms=candidate_ms,
        baseline_ms=baseline_ms,
        speedup=Speedup(value=value, low=low, high=high),
        log_ratios=_unpacked(log_ratios),
    )


def _packed(samples: Sequence[float]) -> bytes:
    doubles = array("d", samples)
    if sys.byteorder == "big":
        doubles.byteswap()
    return doubles.tobytes()


def _unpacked(blob: bytes) -> tuple[float, ...]:
    doubles = array("d", blob)
    if sys.byteorder == "big":
        doubles.byteswap()
    return tuple(doubles)


def _text(text: str) -> str:
    """`text` as UTF-8 can hold it: a candidate's output may carry lone surrogates."""
    return text.encode(errors="backslashreplace").decode()
