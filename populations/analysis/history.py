"""What happened in a run, read from its store once: all that the analysis is a function of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from populations.lineage import Lineage
from populations.policies.policy import SETTLED

if TYPE_CHECKING:
    from populations.call import Call
    from populations.kernel import Kernel
    from populations.rows import Proposal
    from populations.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One run, as far as it has come.

    Attributes:
        lineage: Every judged kernel, in order of proposal, with all that was measured of it.
        champions: Numbers of the kernels that became champion, in order, by what is believed of
            each now (`line_of_champions`).
        champion: The final one; of a search that still runs, its present one. None as long as no
            kernel has passed, and where every finalist fell.
        heard: Numbers of the judged kernels in the order in which the search heard of them; one
            that was measured again comes again. Its length is the evaluations spent.
        proposed: Number -> operator of everything that was proposed, judged or not.
        asked: Proposals that a model was asked for, by number.
        calls: Every question with its answer.
        stored_unix_s: When a kernel's evaluation was stored, by number, seconds since 1970; those
            that are not known are absent.
        islands: Names of the islands that a kernel settled on, by number: one, or all for a seed.
            Empty where the policy has none.
    """

    lineage: Lineage
    champions: tuple[int, ...] = ()
    champion: int | None = None
    heard: tuple[int, ...] = ()
    proposed: Mapping[int, str] = field(default_factory=dict)
    asked: Mapping[int, Proposal] = field(default_factory=dict)
    calls: Sequence[Call] = ()
    stored_unix_s: Mapping[int, float] = field(default_factory=dict)
    islands: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def kernels(self) -> Mapping[int, Kernel]:
        """Every judged kernel by number, in order of proposal."""
        return self.lineage.kernels

    def cost_usd(self) -> dict[int, float]:
        """What models cost, by proposal, US dollars."""
        costs: dict[int, float] = {}
        for call in self.calls:
            costs[call.proposal] = costs.get(call.proposal, 0.0) + call.answer.cost_usd
        return costs


def read_history(store: Store, judged: Sequence[Kernel] | None = None) -> History:
    """The history of a run; another process may be writing it meanwhile.

    Args:
        store: The run's.
        judged: What `Store.history` gave, if that has been read.

    Raises StoreError when it cannot be read.
    """
    # Read before the kernels: what is named here is then among them.
    final = store.meta("final") or {}
    judged = store.history() if judged is None else judged
    stored_unix_s = store.stored_unix_s()
    lineage = Lineage()
    for kernel in {kernel.number: kernel for kernel in judged}.values():
        lineage.add(kernel)
    asked = {proposal.number: proposal for proposal in store.proposals()}
    proposed = {number: proposal.operator for number, proposal in asked.items()}
    proposed |= {candidate.number: candidate.operator for candidate in store.candidates()}
    return History(
        lineage=lineage,
        champions=line_of_champions(lineage.kernels.values()),
        champion=_champion(final, judged),
        heard=tuple(kernel.number for kernel in judged),
        proposed=dict(sorted(proposed.items())),
        asked=asked,
        calls=tuple(store.calls()),
        stored_unix_s=stored_unix_s,
        islands={
            event.data["number"]: tuple(map(str, event.data["islands"]))
            for event in store.events()
            if event.kind == SETTLED
        },
    )


def line_of_champions(kernels: Iterable[Kernel]) -> tuple[int, ...]:
    """Numbers of the kernels that became champion, in order of proposal.

    By the search's rule (`populations.statistics`): with the lower end of the interval as well as
    with the median. Where a kernel was measured again, it is the last estimate that counts, so one
    that reigned for a while and was merely lucky is not here.
    """
    line: list[int] = []
    reigning = None
    for kernel in kernels:
        speedup = kernel.evaluation.speedup
        if speedup is None:
            continue
        if reigning is None or (speedup.low > reigning.low and speedup.value > reigning.value):
            reigning = speedup
            line.append(kernel.number)
    return tuple(line)


def _champion(final: Mapping[str, Any], judged: Sequence[Kernel]) -> int | None:
    """The last word on the champion, or that of a search that has heard of these kernels."""
    from populations.statistics import Progress

    number = final.get("champion")
    # The run may have ended, with a later kernel, after the kernels were read.
    if final and (number is None or number in {kernel.number for kernel in judged}):
        return None if number is None else int(number)
    progress, known = Progress(), set()
    for kernel in judged:
        (progress.remeasured if kernel.number in known else progress.insert)(kernel)
        known.add(kernel.number)
    return progress.champion.number if progress.champion else None
