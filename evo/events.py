"""What a run tells whoever watches it.

One run emits, in this order: `Started`; `BaselinesMeasured`; `Resumed` when its directory held
kernels already; then one `Proposed` and later one `Judged` per candidate, or one `Dropped`
where a model gave none (several may be under way
at once; `Judged` comes in the order of proposals), and a `Remeasured` per further measurement;
`Finished`. A `Message` may come at any time. A
tuning trial is a candidate like any other, its operator is "tune".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evo.budget import Budget, Spent
    from evo.tables import WorkloadRow
    from populations.kernel import Candidate, Kernel
    from populations.rows import Rejection


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The run directory is ours and the search is about to begin.

    Attributes:
        experiment: Name of the experiment.
        directory: The run directory, as a person would type it.
        device: "cpu" or "cuda".
        device_name: What the maker calls it.
        threads: CPU threads that candidates and baselines may use.
        budget: When the search stops.
        workers: Candidates judged at once.
        workloads: Names of the workloads, in order.
    """

    experiment: str
    directory: str
    device: str
    device_name: str
    threads: int
    budget: Budget
    workers: int
    workloads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BaselinesMeasured:
    """The baselines have been timed.

    Attributes:
        table: Workload -> baseline -> median milliseconds of one call.
    """

    table: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """The run directory held kernels already; no `Judged` is sent for them.

    Attributes:
        kernels: All of them, in order of proposal.
        improvements: Numbers of those that became champion, in order.
        spent: What the earlier sessions used.
    """

    kernels: Sequence[Kernel]
    improvements: Sequence[int]
    spent: Spent


@dataclass(frozen=True, slots=True)
class Proposed:
    """A new candidate has been recorded and its evaluation has been asked for."""

    candidate: Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A candidate's evaluation is stored and the search has taken it up.

    Attributes:
        kernel: The candidate with its evaluation.
        is_best: Whether it became the champion.
        spent: What the run has used so far.
    """

    kernel: Kernel
    is_best: bool
    spent: Spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Remeasured:
    """A kernel was measured again, and the search believes it by all its measurements.

    Attributes:
        kernel: The candidate with the evaluation that all of them make together.
        champion: The champion now, None when there is none any more.
        is_new: Whether that is another than before.
        spent: What the run has used so far.
    """

    kernel: Kernel
    champion: Kernel | None
    is_new: bool
    spent: Spent


@dataclass(frozen=True, slots=True)
class Dropped:
    """No candidate came of a proposal that a model was asked for.

    Attributes:
        operator: Who asked.
        rejection: Why.
    """

    operator: str
    rejection: Rejection


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The run is over and its files are written.

    Attributes:
        reason: Why the search ended, in a few words.
        champion: The best kernel, None when none passed.
        table: One row per workload of the closing table.
        spent: What the whole run used.
        files: What it is -> its path as a person would type it, as in "champion" ->
            "runs/conv1d/champion.py".
        provisional: Whether the champion was not judged again, as it is when a search ends well.
    """

    reason: str
    champion: Kernel | None
    table: Sequence[WorkloadRow]
    spent: Spent
    files: Mapping[str, str] = field(default_factory=dict)
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One line for the person at the terminal."""

    text: str


Event = (
    Started
    | BaselinesMeasured
    | Resumed
    | Proposed
    | Judged
    | Remeasured
    | Dropped
    | Finished
    | Message
)


class Observer(Protocol):
    """Watches a run: a terminal view, a recorder, a test.

    `notify` is called from the search's own thread, once per event, and must return quickly: the
    search waits for it. It must not change what it is given, and must not raise.
    """

    def notify(self, event: Event) -> None:
        """Take note of one event."""
