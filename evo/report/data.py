"""What a report is made of, gathered before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evo.budget import Spent
    from evo.tables import WorkloadRow
    from populations.analysis.history import History
    from populations.kernel import Kernel
    from populations.outcome import Speedup


@dataclass(frozen=True, kw_only=True)
class RunData:
    """One run, as its report shows it. The same data give the same file, byte for byte.

    Attributes:
        experiment: Name of the experiment.
        random_seed: Root of the search's randomness.
        device: The device in a few words.
        reason: Why the search ended.
        spent: What the run used.
        kernels: Every judged kernel in order of proposal, failures included.
        improvements: Numbers of the kernels that became champion, in order.
        champion: Number of the final champion, None when no kernel passed.
        speedup: The champion's closing measurement, geometric mean over the workloads; None stands
            for the measurement that made it champion.
        table: The closing table, one row per workload.
        baselines: Workload -> baseline -> milliseconds, as measured before the search.
        config: The resolved experiment file.
        facts: Versions and device facts, label -> text.
        reproduce: Shell commands that repeat the run, one per line.
        history: For what brought the champion; None leaves that out.
    """

    experiment: str
    random_seed: int
    device: str
    reason: str
    spent: Spent
    kernels: tuple[Kernel, ...]
    improvements: tuple[int, ...]
    champion: int | None
    speedup: Speedup | None = None
    table: tuple[WorkloadRow, ...] = ()
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    config: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    reproduce: str = ""
    history: History | None = None

    def __post_init__(self) -> None:
        known = self.by_number
        named = [*self.improvements, *([] if self.champion is None else [self.champion])]
        for number in named:
            if number not in known or not known[number].passed:
                raise ValueError(f"not a kernel that passed: #{number}")

    @cached_property
    def by_number(self) -> dict[int, Kernel]:
        """The kernels by their numbers."""
        return {kernel.number: kernel for kernel in self.kernels}

    @property
    def provisional(self) -> bool:
        """Whether there is a champion that was not judged again, as every final one is."""
        return self.champion is not None and self.speedup is None

    @property
    def best(self) -> Kernel | None:
        """The champion itself."""
        return None if self.champion is None else self.by_number[self.champion]

    @property
    def headline(self) -> Speedup | None:
        """The champion's speedup: the closing measurement, or the one that made it champion."""
        return self.speedup or (self.best.evaluation.speedup if self.best else None)

    @cached_property
    def path(self) -> tuple[Kernel, ...]:
        """From the seed to the champion along first parents; empty without a champion."""
        steps: list[Kernel] = []
        kernel = self.best
        while kernel is not None:
            steps.append(kernel)
            parents = kernel.candidate.parents
            kernel = self.by_number.get(parents[0]) if parents else None
        return tuple(reversed(steps))
