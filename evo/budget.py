"""What a run may spend, and what it has spent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of one run; None means "no such limit". The search ends at the first one reached.

    Attributes:
        evaluations: Candidates judged, seeds included.
        wall_s: Seconds of the search itself.
        device_s: Seconds the device was held for timing.
        patience: Evaluations in a row without a new champion.
        cost_usd: US dollars for models.
        tokens: Tokens of prompts and answers.
        calls: Questions to models. These three are kept by `operators.llm.spending`, before every
            question, and are here to be shown.
    """

    evaluations: int | None = None
    wall_s: float | None = None
    device_s: float | None = None
    patience: int | None = None
    cost_usd: float | None = None
    tokens: int | None = None
    calls: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a run has used so far, earlier sessions of a resumed run included.

    Attributes:
        evaluations: Candidates judged.
        wall_s: Seconds of the search itself.
        device_s: Seconds the device was held for timing.
        cost_usd: What model calls cost, US dollars.
        in_flight: Candidates under evaluation now.
        since_best: Evaluations since the last new champion.
    """

    evaluations: int = 0
    wall_s: float = 0.0
    device_s: float = 0.0
    cost_usd: float = 0.0
    in_flight: int = 0
    since_best: int = 0


def remaining(budget: Budget, spent: Spent) -> Budget:
    """What is left of every limit, never below zero; None where there is none."""

    def left(limit: float | None, used: float) -> float | None:
        return None if limit is None else max(limit - used, 0)

    return Budget(
        evaluations=_whole(left(budget.evaluations, spent.evaluations)),
        wall_s=left(budget.wall_s, spent.wall_s),
        device_s=left(budget.device_s, spent.device_s),
        patience=_whole(left(budget.patience, spent.since_best)),
    )


def time_left_s(budget: Budget, spent: Spent) -> float | None:
    """Seconds until the first limit is reached at the pace so far.

    Patience is left out, because a new champion renews it. None when no other limit is set, or
    when nothing has been spent from which a pace could be known.
    """
    left = remaining(budget, spent)
    estimates = [left.wall_s]
    for rest, used in (
        (left.evaluations, spent.evaluations),
        (left.device_s, spent.device_s),
    ):
        if rest is not None and used > 0:
            estimates.append(rest * spent.wall_s / used)
    return min((estimate for estimate in estimates if estimate is not None), default=None)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def exhausted(budget: Budget, spent: Spent) -> str | None:
    """The limit that has been reached, in a few words; None while the search may go on.

    Evaluations under way count as made, so that no more than the limit are ever started.
    """
    left = remaining(budget, spent)
    if left.evaluations is not None and left.evaluations <= spent.in_flight:
        return f"{budget.evaluations} evaluations"
    if left.wall_s is not None and left.wall_s <= 0:
        return f"{budget.wall_s:g} s of wall time"
    if left.device_s is not None and left.device_s <= 0:
        return f"{budget.device_s:g} s of device time"
    if left.patience is not None and left.patience <= 0:
        return f"no new champion in {budget.patience} evaluations"
    return None
