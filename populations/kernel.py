"""A candidate is a proposed kernel; a kernel is a candidate with its evaluation."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from populations.outcome import Evaluation


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proposed kernel: one Python module that defines `ModelNew`.

    Attributes:
        number: Its place in the order of proposals of one run, from 0. Seeds come first.
        source: The module's text. It runs as it stands.
        language: What the kernel itself is written in: "cpp", "triton" or "python".
        operator: Name of the operator that made it; "seed" for a first kernel.
        parents: Numbers of its parents, all smaller than `number`; empty for a seed.
        note: What the operator did, in one line.
    """

    number: int
    source: str
    language: str
    operator: str = "seed"
    parents: tuple[int, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if self.number < 0 or any(not 0 <= p < self.number for p in self.parents):
            raise ValueError(
                f"parents must be earlier proposals, but got {self.number=} {self.parents=}"
            )

    @property
    def digest(self) -> str:
        """Content hash of what decides behaviour: language and source, 16 hex digits."""
        text = f"{self.language}\0{self.source}"
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A candidate that has been judged. Populations accept nothing else."""

    candidate: Candidate
    evaluation: Evaluation

    @property
    def number(self) -> int:
        """The candidate's number."""
        return self.candidate.number

    @property
    def source(self) -> str:
        """The candidate's source."""
        return self.candidate.source

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return self.evaluation.passed

    @property
    def fitness(self) -> tuple[float, float]:
        """(share of checks passed, log of the least speedup), compared lexicographically.

        The lower end of the interval stands for the speedup: of many noisy measurements the one
        with the highest median is mostly lucky, and a parent is chosen many times over. A kernel
        that was not timed has minus infinity, which orders it behind every timed one; it is never
        stored or shown as a number.
        """
        speedup = self.evaluation.speedup
        return self.evaluation.share_passed, math.log(speedup.low) if speedup else -math.inf
