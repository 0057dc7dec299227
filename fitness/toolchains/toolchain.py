"""The interface of a toolchain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fitness.sandbox.zygote import Spawner
from populations.kernel import Candidate


@dataclass(frozen=True, slots=True)
class Built:
    """The candidate can be run.

    Attributes:
        text: What the compiler remarked; usually empty.
        files: What was made, in the cache.
        cached: Whether nothing had to be done.
    """

    text: str = ""
    files: tuple[Path, ...] = ()
    cached: bool = False


@dataclass(frozen=True, slots=True)
class BuildFailure:
    """The candidate's source was refused.

    Attributes:
        text: Why, with line numbers of the text that was refused; fit for the next operator.
        cached: Whether the same source was refused before.
    """

    text: str
    cached: bool = False


class BuildSettings(Protocol):
    """What a toolchain needs to know; an `EvaluationSpec` is one."""

    @property
    def cache_dir(self) -> Path:
        """Folder for what is kept between runs."""

    @property
    def build_limit_s(self) -> float:
        """Wall time for one build, seconds."""

    @property
    def memory_bytes(self) -> int:
        """Memory for a compiler process."""


class Toolchain(Protocol):
    """Builds candidates of some languages.

    `build` is called once per candidate, by several processes at a time, also for equal sources.
    It never runs the candidate's code in its own process. What is wrong with a source is returned
    as a `BuildFailure`; what is wrong with the machine is raised as `DeviceError`, what goes wrong
    in our own processes as `WorkerError`. Equal sources give equal results.
    """

    def describe(self) -> str:
        """One line for people: what is used, or what is missing and how to get it."""

    def is_available(self) -> bool:
        """Whether this machine has what it needs."""

    def can_build(self, language: str) -> bool:
        """Whether it is for candidates of this language."""

    def build(
        self, candidate: Candidate, settings: BuildSettings, spawner: Spawner | None = None
    ) -> Built | BuildFailure:
        """Build one candidate, or find what was built of the same source before.

        Args:
            candidate: The candidate.
            settings: Cache and limits.
            spawner: Starts confined processes; without one, a toolchain that needs it starts its
                own at the first build and keeps it.
        """
