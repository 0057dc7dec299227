"""What a look at a problem finds. Importing this module does not import torch."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from populations.errors import ProblemError, WorkerError

if TYPE_CHECKING:
    from fitness.sandbox.zygote import Zygote
    from fitness.spec import EvaluationSpec

_LIMIT_S = 600.0


@dataclass(slots=True)
class Findings:
    """What is wrong with a problem (`fitness.degenerate`).

    Attributes:
        refused: One sentence for each reason not to search on it.
        notes: One sentence for each weakness that may be meant.
    """

    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def look(zygote: Zygote, spec: EvaluationSpec, model_seed: int) -> Findings:
    """Have a problem examined in a process of its own (`fitness.degenerate.serve`).

    Raises:
        ProblemError: The problem file is at fault.
        WorkerError: The process failed.
    """
    argument = {"spec": spec, "seeds": (model_seed, model_seed + 1)}
    child = zygote.spawn("fitness.degenerate:serve", argument, limits=None)
    try:
        kind, content = child.channel.receive_trusted(_LIMIT_S)
    finally:
        with suppress(WorkerError):
            child.kill()
    if kind == "error":
        raise content
    found: Findings = content
    return found


def require(found: Findings, spec: EvaluationSpec) -> None:
    """Raise ProblemError for a degenerate problem unless the spec allows it."""
    if found.refused and not spec.allow_degenerate:
        raise ProblemError(
            f"{spec.problem}: {'; '.join(found.refused)}. A search would find what is cheapest "
            "under it; with [evaluation] allow_degenerate = true it is taken on all the same"
        )
