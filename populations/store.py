"""One run in one file: `run.db`, SQLite in WAL mode.

Append-only: candidates, evaluations, tuning trials, model calls and events are written once and
never changed. Every `add_...` has committed when it returns, so a run survives `kill -9` at any
moment: what returned is in the file, what did not is absent as a whole. That holds for the process;
the commits are not forced to the disk one by one (`synchronous = NORMAL`), so a power cut may take
the last moments of a run, though it cannot damage the file. `synchronous = FULL` would close that
gap for one disk flush per commit.

One process writes a run, guarded by a lock on `run.db.lock` that the kernel drops with the process;
any number read it meanwhile. A `Store` is used by one thread at a time.

A run of an earlier schema is migrated when it is opened for writing (`populations.migrations`), and
a copy of it stays beside it as it was; when it is only read, the migration happens in memory and
nothing is written.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from populations import migrations, rows, schema
from populations.errors import StoreError
from populations.kernel import Candidate, Kernel
from populations.lineage import Lineage
from populations.pooling import pool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from populations.call import Call
    from populations.outcome import Evaluation
    from populations.queries import Queries
    from populations.rows import Event, Proposal, Rejection, Remeasurement, Trial

FILE_NAME = "run.db"


class Store:
    """The file of one run. Made by `create` or `open`; a context manager that closes itself."""

    def __init__(self, *, file: Path, connection: sqlite3.Connection, lock: int | None) -> None:
        self._file = file
        self._connection = connection
        self._lock = lock

    @classmethod
    def create(cls, path: Path, *, experiment: str, fingerprint: str) -> Self:
        """Start a new run file and hold it for writing.

        Args:
            path: The run's directory, which exists, or the file itself (`.db`).
            experiment: The resolved experiment as text, kept as meta "experiment".
            fingerprint: What tells this experiment from others, kept as meta "fingerprint".

        Raises StoreError when the file exists or cannot be written.
        """
        file = _file(path)
        lock = _acquire(file)
        connection = None
        try:
            with _translated(file):
                connection = schema.connect(str(file))
                schema.make_writable(connection)
                with schema.transaction(connection, immediate=True):
                    if not schema.is_empty(connection):
                        raise StoreError(
                            f"{file} holds a run already: resume it or name another place"
                        )
                    schema.create_tables(connection)
                    first = {"experiment": experiment, "fingerprint": fingerprint}
                    for item in first.items():
                        connection.execute(schema.SET_META, rows.of_meta(*item))
        except BaseException:
            _release(connection, lock)
            raise
        return cls(file=file, connection=connection, lock=lock)

    @classmethod
    def begun(cls, path: Path) -> bool:
        """Whether there is a file with anything in it: a kill may come before the first commit."""
        file = _file(path)
        if not file.is_file():
            return False
        connection = None
        try:
            with _translated(file):
                connection = schema.connect(str(file))
                return not schema.is_empty(connection)
        except StoreError:
            # Something is there; opening it says what is wrong with it.
            return True
        finally:
            _release(connection, None)

    @classmethod
    def open(cls, path: Path, *, fingerprint: str | None = None, read_only: bool = False) -> Self:
        """Open an existing run file, for writing unless `read_only`.

        Args:
            path: The run's directory, or the file itself (`.db`).
            fingerprint: The experiment about to be resumed; None accepts any.
            read_only: Take no lock; reading goes on while another process writes.

        Raises StoreError when there is no run, it was written by a newer schema, it belongs to
        another experiment, or another process is writing it. Nothing is written before all that is
        known. An older schema is migrated, in the file when it is opened for writing and otherwise
        in memory: then the store shows the run as it is now, and not what is written later.
        """
        file = _file(path)
        if not file.is_file():
            raise StoreError(f"there is no run at {file}")
        connection, lock = None, None
        try:
            with _translated(file):
                connection = schema.connect(str(file))
                _check(connection, file, fingerprint)
                if not read_only:
                    lock = _acquire(file)
                    schema.make_writable(connection)
                # Looked at again: nobody else migrates it now.
                version = migrations.version_of(connection)
                if version < schema.SCHEMA_VERSION and read_only:
                    on_disk, connection = connection, migrations.migrated_in_memory(connection)
                    on_disk.close()
                elif version < schema.SCHEMA_VERSION:
                    migrations.keep_copy(file, version)
                    migrations.migrate(connection)
        except BaseException:
            _release(connection, lock)
            raise
        return cls(file=file, connection=connection, lock=lock)

    @property
    def directory(self) -> Path:
        """The folder that the file lies in."""
        return self._file.parent

    def close(self) -> None:
        """Close the file and let go of the lock. Callable twice."""
        _release(self._connection, self._lock)
        self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # Candidates and evaluations

    def add_candidate(self, candidate: Candidate) -> None:
        """Keep a proposal, before it is evaluated. Raises StoreError if its number is taken."""
        self._write(
            (schema.INSERT_CANDIDATE, [rows.of_candidate(candidate)]),
            (schema.INSERT_EDGE, rows.of_parents(candidate)),
        )

    def add_evaluation(
        self, number: int, evaluation: Evaluation, *, kernel: int | None = None
    ) -> None:
        """Keep the evaluation of candidate `number`, before the search uses it.

        With `kernel`, proposal `number` measured that kernel again.

        Raises StoreError if the candidate is not stored or the number has an evaluation already.
        """
        of = number if kernel is None else kernel
        row = rows.of_evaluation(number, evaluation, kernel=of, stored_unix_s=time.time())
        timings = rows.of_timings(number, evaluation.timings)
        self._write((schema.INSERT_EVALUATION, [row]), (schema.INSERT_TIMING, timings))

    def add_remeasurement(self, remeasurement: Remeasurement) -> None:
        """Keep that a kernel is to be measured again, before it is; its candidate is stored."""
        row = rows.of_remeasurement(remeasurement)
        self._write((schema.INSERT_REMEASUREMENT, [row]))

    def candidates(self) -> list[Candidate]:
        """Every proposal, by number, evaluated or not."""
        found = self._read(schema.ALL_CANDIDATES)
        # Read behind them: no candidate is without its parents, though newer ones may come along.
        parents: dict[int, list[int]] = {}
        for child, parent in self._read(schema.ALL_EDGES):
            parents.setdefault(child, []).append(parent)
        return [rows.to_candidate(row, parents.get(row[0], ())) for row in found]

    def evaluations(self) -> dict[int, Evaluation]:
        """The first evaluation of every candidate that has one, by its number, ascending."""
        return self._evaluations(schema.ALL_EVALUATIONS)

    def remeasurements(self) -> list[Remeasurement]:
        """Every proposal to measure a kernel again, by number, whether it has been or not."""
        return [rows.to_remeasurement(row) for row in self._read(schema.ALL_REMEASUREMENTS)]

    def remeasured(self) -> dict[int, Evaluation]:
        """What was measured again, by the number of the proposal, ascending."""
        return self._evaluations(schema.ALL_FURTHER)

    def _evaluations(self, statement: str) -> dict[int, Evaluation]:
        found = self._read(statement)
        timings: dict[int, list[rows.Row]] = {}
        for row in self._read(schema.ALL_TIMINGS) if found else ():
            timings.setdefault(row[0], []).append(row)
        return {row[0]: rows.to_evaluation(row, timings.get(row[0], ())) for row in found}

    def evaluation(self, number: int) -> Evaluation | None:
        """The first evaluation of a candidate, or what a remeasurement found; None without one."""
        found = self._read(schema.ONE_EVALUATION, {"number": number})
        if not found:
            return None
        return rows.to_evaluation(found[0], self._read(schema.ONE_TIMINGS, {"number": number}))

    def stored_unix_s(self) -> dict[int, float]:
        """When each candidate's first evaluation was stored, by number: seconds since 1970."""
        return {row[0]: row[1] for row in self._read(schema.WHEN_STORED)}

    def find(self, digest: str) -> Evaluation | None:
        """The first evaluation of any candidate with this digest; None when there is none."""
        found = self._read(schema.NUMBER_BY_DIGEST, {"digest": digest})
        return self.evaluation(found[0][0]) if found else None

    def kernels(self) -> list[Kernel]:
        """Every evaluated candidate, by number, with all that was measured of it.

        The evaluation of a kernel that was measured again is the pooled one.
        """
        return list({kernel.number: kernel for kernel in self.history()}.values())

    def history(self) -> list[Kernel]:
        """Every judged kernel in the order in which the search heard of it.

        One that was measured again comes anew each time, with the evaluation that all measurements
        up to then make together.
        """
        evaluations, further = self.evaluations(), self.remeasured()
        candidates = {candidate.number: candidate for candidate in self.candidates()}
        again = {each.number: each.kernel for each in self.remeasurements()}
        runs: dict[int, list[Evaluation]] = {}
        found = []
        for number in sorted({*evaluations, *(further.keys() & again.keys())}):
            kernel = again.get(number, number)
            runs.setdefault(kernel, []).append(evaluations.get(number) or further[number])
            found.append(Kernel(candidates[kernel], pool(runs[kernel])))
        return found

    def pending(self) -> list[Candidate]:
        """Proposals without an evaluation, by number: what was under way when a run ended."""
        evaluated = set(self.evaluations())
        return [c for c in self.candidates() if c.number not in evaluated]

    @property
    def queries(self) -> Queries:
        """Lists and ancestry without sources; for runs of any length."""
        from populations.queries import Queries

        return Queries(self._connection, lambda: _translated(self._file))

    def lineage(self) -> Lineage:
        """The lineage of everything evaluated so far, rebuilt."""
        lineage = Lineage()
        for kernel in self.kernels():
            lineage.add(kernel)
        return lineage

    # What models were asked

    def add_proposal(self, proposal: Proposal) -> None:
        """Keep a proposal before its model is asked. Raises StoreError if its number is taken."""
        self._write((schema.INSERT_PROPOSAL, [rows.of_proposal(proposal)]))

    def add_call(self, call: Call) -> None:
        """Keep a question with its answer, before the answer is used; its proposal is stored."""
        row = rows.of_call(call, stored_unix_s=time.time())
        self._write((schema.INSERT_CALL, [row]))

    def add_rejection(self, rejection: Rejection) -> None:
        """Keep that no candidate came of a proposal, which is stored."""
        self._write((schema.INSERT_REJECTION, [rows.of_rejection(rejection)]))

    def proposals(self) -> list[Proposal]:
        """Every proposal that a model was asked for, by number."""
        return [rows.to_proposal(row) for row in self._read(schema.ALL_PROPOSALS)]

    def calls(self) -> list[Call]:
        """Every question with its answer, by proposal and turn."""
        return [rows.to_call(row) for row in self._read(schema.ALL_CALLS)]

    def rejections(self) -> list[Rejection]:
        """Every proposal of which nothing came, by number."""
        return [rows.to_rejection(row) for row in self._read(schema.ALL_REJECTIONS)]

    # Trials, events, facts

    def add_trial(self, trial: Trial) -> None:
        """Keep a tuning trial; its candidate is stored. Raises StoreError if it is kept already."""
        self._write((schema.INSERT_TRIAL, [rows.of_trial(trial)]))

    def trials(self) -> list[Trial]:
        """Every tuning trial, by candidate number."""
        return [rows.to_trial(row) for row in self._read(schema.ALL_TRIALS)]

    def add_event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Keep an event with JSON-able `data`."""
        row = rows.of_event(kind, data, stored_unix_s=time.time())
        self._write((schema.INSERT_EVENT, [row]))

    def events(self) -> list[Event]:
        """Every event, in the order stored."""
        return [rows.to_event(row) for row in self._read(schema.ALL_EVENTS)]

    def set_meta(self, key: str, value: object) -> None:
        """Set a JSON-able fact about the run; the one kind of entry that may change."""
        self._write((schema.SET_META, [rows.of_meta(key, value)]))

    def meta(self, key: str) -> Any:
        """A fact about the run; None when it was never set."""
        found = self._read(schema.ONE_META, {"key": key})
        return json.loads(found[0][0]) if found else None

    def _write(self, *statements: tuple[str, Sequence[Mapping[str, Any]]]) -> None:
        """Execute each for each of its rows, in one transaction, and commit it."""
        with _translated(self._file), schema.transaction(self._connection):
            for statement, of in statements:
                self._connection.executemany(statement, of)

    def _read(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[rows.Row]:
        with _translated(self._file):
            return self._connection.execute(statement, parameters or {}).fetchall()


def _file(path: Path) -> Path:
    return path if path.suffix == ".db" else path / FILE_NAME


def _check(connection: sqlite3.Connection, file: Path, fingerprint: str | None) -> None:
    """Raise StoreError unless this is a run that we can read, and the one that is meant."""
    if schema.value(connection, "PRAGMA application_id") != schema.APPLICATION_ID:
        raise StoreError(f"{file} is not a run of evo")
    version = migrations.version_of(connection)
    if not migrations.OLDEST <= version <= schema.SCHEMA_VERSION:
        age = "newer" if version > schema.SCHEMA_VERSION else "older"
        raise StoreError(
            f"{file} has schema {version}, which is {age} than this evo reads "
            f"({migrations.OLDEST} to {schema.SCHEMA_VERSION}): use the evo that wrote it"
        )
    if fingerprint is None:
        return
    found = connection.execute(schema.ONE_META, {"key": "fingerprint"}).fetchall()
    if not found:
        raise StoreError(f"{file} does not say which experiment it belongs to")
    stored = json.loads(found[0][0])
    if stored != fingerprint:
        raise StoreError(
            f"{file} belongs to another experiment: it has fingerprint {stored}, "
            f"but this experiment has {fingerprint}"
        )


def _acquire(file: Path) -> int:
    """Lock a run for writing; returns the lock's file descriptor.

    It is taken on a file of its own: locking `run.db` itself would disturb SQLite's locks.
    """
    try:
        lock = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"cannot write {file}.lock: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreError(f"another process is writing {file}") from error
    return lock


def _release(connection: sqlite3.Connection | None, lock: int | None) -> None:
    if connection is not None:
        connection.close()
    if lock is not None:
        os.close(lock)


@contextmanager
def _translated(file: Path) -> Iterator[None]:
    """Turn the database's errors into a StoreError of one line."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{file}: {error}".splitlines()[0]) from error
