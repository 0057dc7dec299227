"""A kernel that failed, mended."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from operators.dialogue import Conversation
from operators.llm import history, parts
from operators.llm.memory import Memory
from operators.llm.operators.base import ModelOperator, drawn
from operators.llm.parse import read_edit
from operators.operator import Inapplicable, Situation
from populations.kernel import Kernel
from populations.lineage import Lineage
from populations.outcome import Outcome

# How likely a failure of each kind is one that its diagnostics let mend. Cheats are not mended.
_EASE = {
    Outcome.COMPILE_ERROR: 1.0,
    Outcome.WRONG_SHAPE: 1.0,
    Outcome.WRONG_DTYPE: 1.0,
    Outcome.RUNTIME_ERROR: 0.8,
    Outcome.WRONG_VALUES: 0.8,
    Outcome.REJECTED: 0.5,
    Outcome.TIMEOUT: 0.2,
}
# Attempts on one kernel, and repairs of repairs in a row.
ATTEMPTS = 2
DEPTH = 3
# Kernels that are drawn from, the most promising, each half as likely as the one before: proposals
# that are made at the same time should not all take the same one.
_DRAWN_FROM = 4


class Repair(ModelOperator):
    """Take a promising kernel that failed, with its diagnostics, and ask for it mended.

    The kernel is found in the lineage; parents, where some are given, only make their own failing
    children more likely.

    May break: it may hide the fault or give up the idea; the judge sees to the first.
    """

    name = "repair"
    arity = 0
    answer_format = "format_blocks"
    topic = "errors and their causes, constraints"
    weight = 1.5

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Conversation | Inapplicable:
        """Ask for one of the failing kernels of the lineage."""
        lineage = situation.lineage
        found = promising(lineage, favoured={parent.number for parent in parents})[:_DRAWN_FROM]
        if not found:
            return Inapplicable("repair: nothing failed that may be tried again")
        broken = situation.rng.choices(found, [0.5**n for n in range(len(found))])[0]
        # Earlier attempts are told in any case: without them the same repair comes again.
        mode = drawn(situation, (Memory.SIBLINGS, Memory.BOTH))
        language = broken.candidate.language
        before = _parents(broken, lineage)
        told = [
            parts.kernel_source("Failing kernel", broken),
            parts.diagnostics(broken, rank=0),
            *[parts.difference(parent, broken) for parent in before[:1]],
            parts.attempts(
                f"What was tried to mend kernel {broken.number}",
                history.children(broken, lineage),
                lineage,
            ),
        ]
        if mode.shows_ancestors:
            told.append(parts.ancestry(broken, lineage))
        task = self.task(
            situation,
            [*told, *self.known(situation, language, broken)],
            read=partial(read_edit, source=broken.source, number=broken.number),
            subjects=[broken, *before],
            language=language,
            languages=situation.brief.languages if situation.brief else (),
            mode=mode,
            parents=(broken.number,),
            number=str(broken.number),
            outcome=broken.evaluation.outcome.value.replace("_", " "),
        )
        return self.conversation(task)


def promising(lineage: Lineage, *, favoured: set[int]) -> list[Kernel]:
    """Failing kernels that may be tried again, the most promising first.

    What a kernel promises is the speedup of its fastest parent (it was made from that one to be
    faster), times how likely its kind of failure is mended, more where most checks passed. Tuning
    steps are left out, cheats, what was mended, and what was tried often enough.

    Args:
        lineage: All judged kernels.
        favoured: Numbers of kernels whose failing children count double.
    """
    repairs: dict[int, list[Kernel]] = {}
    for kernel in lineage.kernels.values():
        if _is_repair(kernel):
            for number in kernel.candidate.parents:
                repairs.setdefault(number, []).append(kernel)

    def promise(kernel: Kernel) -> float:
        evaluation = kernel.evaluation
        speedups = [
            p.evaluation.speedup.value for p in _parents(kernel, lineage) if p.evaluation.speedup
        ]
        worth = max(speedups, default=1.0) * _EASE[evaluation.outcome]
        worth *= 1 + evaluation.share_passed
        worth *= 2 if favoured & set(kernel.candidate.parents) else 1
        return worth / (1 + len(repairs.get(kernel.number, ())))

    open_ones = [
        kernel
        for kernel in lineage.kernels.values()
        if kernel.evaluation.outcome in _EASE
        and kernel.candidate.operator != "tune"
        and len(repairs.get(kernel.number, ())) < ATTEMPTS
        and not any(repair.passed for repair in repairs.get(kernel.number, ()))
        and _depth(kernel, lineage) < DEPTH
    ]
    return sorted(open_ones, key=lambda kernel: (promise(kernel), kernel.number), reverse=True)


def _parents(kernel: Kernel, lineage: Lineage) -> list[Kernel]:
    return [
        lineage.kernels[number] for number in kernel.candidate.parents if number in lineage.kernels
    ]


def _is_repair(kernel: Kernel) -> bool:
    # With several models an operator's name in the lineage has the model behind it.
    return kernel.candidate.operator.partition("@")[0] == Repair.name


def _depth(kernel: Kernel, lineage: Lineage) -> int:
    """How many repairs in a row made this kernel."""
    depth = 0
    while _is_repair(kernel) and (above := _parents(kernel, lineage)):
        depth += 1
        kernel = above[0]
    return depth
