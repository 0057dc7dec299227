"""What a library holds: improvements and champions, each with where it held."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from populations.outcome import Speedup

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a run took place.

    Attributes:
        problem: The problem's name, "conv1d".
        content: `content_digest` of the problem file's text.
        device: "cpu" or "cuda".
        target: The device's own name, "NVIDIA H200".
        run: The run directory, as a path.
        operations: What the problem is made of, `operations.operations_of` its text.
        shapes: Workload -> its sizes, for people.
    """

    problem: str
    content: str
    device: str
    target: str
    run: str
    operations: tuple[str, ...] = ()
    shapes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shapes", dict(self.shapes))


@dataclass(frozen=True, slots=True)
class Entry:
    """One improvement.

    Attributes:
        technique: What the operator says that it did.
        operator: Who did it.
        language: What both kernels are written in; the child's where they differ.
        skeleton: Of the child: `populations.parameters.skeleton`.
        before: Digest of the parent.
        after: Digest of the child.
        gain: Parent's time over child's, with its 95% interval; greater is better.
        gains: Workload -> the same ratio, without an interval.
        diff: What changed, as a unified difference of limited length.
        setting: Where it held.
    """

    technique: str
    operator: str
    language: str
    skeleton: str
    before: str
    after: str
    gain: Speedup
    gains: Mapping[str, float]
    diff: str
    setting: Setting

    @property
    def key(self) -> tuple[str, ...]:
        """Two entries with one key say the same, up to numbers in what they call it."""
        place = self.setting
        technique = _NUMBER.sub("#", self.technique)
        return (self.operator, technique, self.skeleton, place.content, place.target)


@dataclass(frozen=True, slots=True)
class Champion:
    """A run's best kernel.

    Attributes:
        source: The whole module.
        language: What it is written in.
        digest: `Candidate.digest`.
        skeleton: `populations.parameters.skeleton` of the source.
        speedup: Over the fastest baselines of its run.
        setting: Where it was measured.
    """

    source: str
    language: str
    digest: str
    skeleton: str
    speedup: Speedup
    setting: Setting

    @property
    def key(self) -> tuple[str, ...]:
        """Two champions with one key are the same."""
        return (self.digest, self.setting.content, self.setting.target)


def content_digest(problem: str) -> str:
    """Names a problem by its file's text, 16 hex digits."""
    return hashlib.sha256(problem.encode(errors="surrogatepass")).hexdigest()[:16]
