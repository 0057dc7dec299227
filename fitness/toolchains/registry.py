"""Which toolchain is for which language."""

from __future__ import annotations

from functools import lru_cache

from fitness.sandbox.zygote import Spawner
from fitness.toolchains.cpp import CppToolchain
from fitness.toolchains.python import PythonToolchain, TritonToolchain
from fitness.toolchains.toolchain import BuildFailure, BuildSettings, Built, Toolchain
from populations.errors import DeviceError
from populations.kernel import Candidate

__all__ = ["BuildFailure", "Built", "build", "toolchain_for", "toolchains"]


@lru_cache(maxsize=1)
def toolchains() -> tuple[Toolchain, ...]:
    """All toolchains; one object each per process."""
    return CppToolchain(), TritonToolchain(), PythonToolchain()


def toolchain_for(language: str) -> Toolchain:
    """The toolchain for a language.

    Raises DeviceError when there is none, or when this machine lacks what it needs.
    """
    for toolchain in toolchains():
        if toolchain.can_build(language):
            if not toolchain.is_available():
                raise DeviceError(toolchain.describe())
            return toolchain
    raise DeviceError(f"no toolchain builds candidates in {language!r}")


def build(
    candidate: Candidate, settings: BuildSettings, spawner: Spawner | None = None
) -> Built | BuildFailure:
    """Build a candidate with the toolchain of its language; see `Toolchain.build`."""
    return toolchain_for(candidate.language).build(candidate, settings, spawner)
