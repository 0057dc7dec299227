"""Python and Triton: compiled by the candidate's own process; checked for their syntax here."""

from __future__ import annotations

import importlib.util
import sys
import warnings

from fitness.sandbox.zygote import Spawner
from fitness.toolchains.toolchain import BuildFailure, BuildSettings, Built
from populations.kernel import Candidate


def syntax_fault(source: str) -> str:
    """What is wrong with a module's syntax, with its line; "" when nothing is."""
    try:
        with warnings.catch_warnings():
            # A doubtful escape in a string is no reason to refuse a kernel.
            warnings.simplefilter("ignore")
            compile(source, "kernel.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        place = f"kernel.py:{error.lineno}:{error.offset}: {error.msg}"
        return f"{place}\n    {error.text.rstrip()}" if error.text else place
    except (ValueError, MemoryError, RecursionError) as error:
        return f"kernel.py: {error or type(error).__name__}"
    return ""


class PythonToolchain:
    """For candidates that need nothing but torch."""

    def describe(self) -> str:
        """The interpreter."""
        return f"Python {sys.version.split()[0]}"

    def is_available(self) -> bool:
        """Always."""
        return True

    def can_build(self, language: str) -> bool:
        """For "python"."""
        return language == "python"

    def build(
        self,
        candidate: Candidate,
        settings: BuildSettings,  # noqa: ARG002 - nothing is made
        spawner: Spawner | None = None,  # noqa: ARG002 - nothing is run
    ) -> Built | BuildFailure:
        """Check the syntax."""
        fault = syntax_fault(candidate.source)
        return BuildFailure(fault) if fault else Built(cached=True)


class TritonToolchain(PythonToolchain):
    """For Triton kernels, which Triton compiles at their first launch."""

    def describe(self) -> str:
        """Whether Triton is there."""
        if self.is_available():
            return "Triton"
        return "Triton is not installed (pip install triton)"

    def is_available(self) -> bool:
        """Whether Triton can be imported."""
        return importlib.util.find_spec("triton") is not None

    def can_build(self, language: str) -> bool:
        """For "triton"."""
        return language == "triton"
