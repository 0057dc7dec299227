"""A constructed candidate under question, and others of it for what may end a process."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fitness.cases import Case, CaseBank
from fitness.interview import Reply, put
from fitness.process import CandidateProcess

if TYPE_CHECKING:
    from fitness.judge import Judge, Progress


@dataclass(frozen=True, slots=True)
class Session:
    """A constructed candidate and who asks it.

    Attributes:
        judge: Holds the cases; starts further processes.
        process: The candidate.
        progress: What is known of it.
    """

    judge: Judge
    process: CandidateProcess
    progress: Progress

    @property
    def bank(self) -> CaseBank:
        """The cases."""
        return self.judge.bank

    @property
    def smallest(self) -> str:
        """The workload with the smallest inputs."""
        return self.judge.bank.workloads[0]

    def put(self, cases: Sequence[Case]) -> list[Reply]:
        """Call the candidate on cases in the same memory (`fitness.interview.put`)."""
        return put(self.process, self.bank, cases, self.judge.spec.torch_device)


class Apart:
    """A candidate's processes beside the one that is asked: one that raised is of no more use.

    Attributes:
        spec: How it is judged.
    """

    def __init__(self, session: Session, stack: ExitStack) -> None:
        """Start none yet.

        Args:
            session: Of the process that is asked.
            stack: Ends the others.
        """
        self.spec = session.judge.spec
        self._session = session
        self._stack = stack
        self._other: Session | None = None

    def session(self, dtype: str) -> Session:
        """A constructed candidate; a new one after `leave`."""
        if self._other is None:
            judge = self._session.judge
            process = self._stack.enter_context(
                judge.runners.start(self._session.process.candidate)
            )
            process.construct(judge.bank.constants, dtype)
            self._other = Session(judge, process, self._session.progress)
        return self._other

    def leave(self) -> None:
        """Ask the present process nothing more."""
        self._other = None
