"""Questions to a run of any length that leave its sources and samples where they are.

Twenty thousand kernels are listed in some tens of milliseconds: every question is answered from an
index. `Store.queries` makes one; it may be asked while another process writes the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from populations.outcome import Outcome

if TYPE_CHECKING:
    from sqlalchemy import Executable


class Entry(NamedTuple):
    """One judged kernel without its source.

    Attributes:
        number: Its place in the order of proposals.
        language: "cpp", "triton" or "python".
        operator: Who made it.
        outcome: The stage that ended its evaluation.
        checks_passed: Correctness checks passed, of `checks_total`.
        speedup: A ratio, with the ends of its 95% interval; None for a kernel that did not pass.
    """

    number: int
    language: str
    operator: str
    outcome: Outcome
    checks_passed: int
    checks_total: int
    speedup: float | None
    low: float | None
    high: float | None

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return self.outcome is Outcome.PASSED


class Queries:
    """What readers ask of a run, answered by the database.

    Every method raises StoreError when the file cannot be read.
    """

    def __init__(self, read: Callable[[Executable, Any], Sequence[Sequence[Any]]]) -> None:
        from populations import statements

        self._statements = statements
        self._read = read

    def entries(self, *, behind: int = -1) -> list[Entry]:
        """Every judged kernel with a number above `behind`, by number."""
        return self._entries(self._statements.LISTED, {"behind": behind})

    def best(self, count: int) -> list[Entry]:
        """The fastest kernels, best first, by the lower ends of their intervals."""
        return self._entries(self._statements.BEST, {"count": count})

    def children(self, number: int) -> list[int]:
        """Numbers of the candidates made from this one, ascending, judged or not."""
        return self._numbers(self._statements.CHILDREN, number)

    def ancestors(self, number: int) -> list[int]:
        """Numbers of every candidate that this one descends from, ascending."""
        return self._numbers(self._statements.ANCESTORS, number)

    def descendants(self, number: int) -> list[int]:
        """Numbers of every candidate that descends from this one, ascending, judged or not."""
        return self._numbers(self._statements.DESCENDANTS, number)

    def _numbers(self, statement: Executable, number: int) -> list[int]:
        return [row[0] for row in self._read(statement, {"number": number})]

    def _entries(self, statement: Executable, parameters: Any) -> list[Entry]:
        outcomes = {outcome.value: outcome for outcome in Outcome}
        return [
            Entry(number, language, operator, outcomes[outcome], *rest)
            for number, language, operator, outcome, *rest in self._read(statement, parameters)
        ]
