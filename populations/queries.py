"""Questions to a run of any length that leave its sources and samples where they are.

Twenty thousand kernels are listed in some tens of milliseconds: every question is answered from an
index. `Store.queries` makes one; it may be asked while another process writes the run.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from populations.outcome import Outcome, Speedup
from populations.pooling import combine

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager


class Entry(NamedTuple):
    """One judged kernel without its source, with all that was measured of it.

    Attributes:
        number: Its place in the order of proposals.
        operator: Who made it.
        outcome: The stage that ended its evaluation.
        speedup: A ratio; None for a kernel that did not pass.
        low: The lower end of its 95% interval.
        high: The upper end.
    """

    number: int
    operator: str
    outcome: Outcome
    speedup: float | None
    low: float | None
    high: float | None

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return self.outcome is Outcome.PASSED


_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
# Left to itself, SQLite would look rows up in the tables, past the sources and the details.
_COLUMNS = "SELECT e.number, operator, outcome, speedup, speedup_low, speedup_high "
_LISTED = (
    f"{_COLUMNS} FROM candidates AS c INDEXED BY ix_candidates_listed "
    "CROSS JOIN evaluations AS e INDEXED BY ix_evaluations_listed "
    "ON e.kernel = c.number AND e.number = c.number WHERE c.number > ? ORDER BY c.number"
)
# Kernels above a number that were measured again: one row per measurement, in order.
_REMEASURED = (
    "SELECT c.number, operator, outcome, speedup, speedup_low, speedup_high "
    "FROM candidates AS c INDEXED BY ix_candidates_listed "
    "CROSS JOIN evaluations AS e INDEXED BY ix_evaluations_listed ON e.kernel = c.number "
    "WHERE c.number IN (SELECT kernel FROM remeasurements) AND c.number > ? "
    "ORDER BY c.number, e.number"
)
_BEST = (
    f"{_COLUMNS} FROM evaluations AS e INDEXED BY ix_evaluations_best "
    "CROSS JOIN candidates AS c ON c.number = e.number WHERE speedup_low > 0 "
    "ORDER BY speedup_low DESC, speedup DESC, e.number LIMIT ?"
)
_CHILDREN = "SELECT DISTINCT child FROM edges WHERE parent = ? ORDER BY child"
# UNION, not UNION ALL: a kernel that is reached by several ways is walked from once.
_ANCESTORS = (
    "WITH RECURSIVE found(number) AS (SELECT parent FROM edges WHERE child = ? "
    "UNION SELECT parent FROM edges JOIN found ON child = found.number) "
    "SELECT number FROM found ORDER BY number"
)
_DESCENDANTS = (
    "WITH RECURSIVE found(number) AS (SELECT child FROM edges WHERE parent = ? "
    "UNION SELECT child FROM edges JOIN found ON parent = found.number) "
    "SELECT number FROM found ORDER BY number"
)


class Queries:
    """What readers ask of a run, answered by the database.

    Every method raises StoreError when the file cannot be read.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        translated: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Ask over a connection; within a `translated()`, its errors become StoreErrors."""
        self._connection = connection
        self._translated = translated

    def entries(self, *, behind: int = -1) -> list[Entry]:
        """Every judged kernel with a number above `behind`, by number."""
        entries = self._entries(_LISTED, behind)
        again = self._remeasured(behind)
        return [again.get(entry.number, entry) for entry in entries] if again else entries

    def best(self, count: int) -> list[Entry]:
        """The fastest kernels, best first, by the lower ends of their intervals."""
        again = self._remeasured(-1)
        # So many of the first ones may have turned out to be slower.
        entries = self._entries(_BEST, count + len(again))
        if not again:
            return entries
        found = [entry for entry in entries if entry.number not in again]
        found += [entry for entry in again.values() if entry.passed]
        return sorted(found, key=_worth)[:count]

    def children(self, number: int) -> list[int]:
        """Numbers of the candidates made from this one, ascending, judged or not."""
        return self._numbers(_CHILDREN, number)

    def ancestors(self, number: int) -> list[int]:
        """Numbers of every candidate that this one descends from, ascending."""
        return self._numbers(_ANCESTORS, number)

    def descendants(self, number: int) -> list[int]:
        """Numbers of every candidate that descends from this one, ascending, judged or not."""
        return self._numbers(_DESCENDANTS, number)

    def _remeasured(self, behind: int) -> dict[int, Entry]:
        """Kernels that were measured again, by number, with all measurements as one."""
        measured: dict[int, list[Entry]] = {}
        for entry in self._entries(_REMEASURED, behind):
            measured.setdefault(entry.number, []).append(entry)
        return {number: _pooled(entries) for number, entries in measured.items()}

    def _numbers(self, statement: str, number: int) -> list[int]:
        with _uncollected():
            return [found for (found,) in self._read(statement, number)]

    def _entries(self, statement: str, parameter: int) -> list[Entry]:
        with _uncollected():
            return [
                Entry(number, operator, _OUTCOMES[outcome], speedup, low, high)
                for number, operator, outcome, speedup, low, high in self._read(
                    statement, parameter
                )
            ]

    def _read(self, statement: str, parameter: int) -> list[tuple[Any, ...]]:
        with self._translated():
            return self._connection.execute(statement, (parameter,)).fetchall()


def _worth(entry: Entry) -> tuple[float, float, int]:
    """The order of `best`."""
    return -(entry.low or 0.0), -(entry.speedup or 0.0), entry.number


def _pooled(entries: Sequence[Entry]) -> Entry:
    failed = next((entry for entry in entries if not entry.passed), None)
    if failed is not None:
        return failed
    speedups = [
        Speedup(entry.speedup, entry.low, entry.high)
        for entry in entries
        if entry.speedup and entry.low and entry.high
    ]
    one = combine(speedups)
    return entries[0]._replace(speedup=one.value, low=one.low, high=one.high)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Put off garbage collection: many rows would set it off, and hold nothing to collect."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
