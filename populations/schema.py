"""The tables of `run.db`, the statements on them, and how a connection to it is set up.

Floats are SQLite REALs (IEEE double, exact); raw samples are a BLOB of little-endian doubles; what
has no fixed shape (parameters, details, event data, meta values) is JSON text, which Python writes
with as many digits as it takes to read the same float back.

Sources, details and samples are most of a file. What lists need lies in indices beside them, so
that a list never reads them.

Everything here is plain SQL over the standard library's sqlite3, which costs a search neither
memory nor time; SQLAlchemy comes in with alembic, when a file is migrated.

A change here is a new schema: it takes a higher SCHEMA_VERSION and a migration from the one before
(`populations.migrations`).
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA_VERSION = 3
APPLICATION_ID = 0x65766F31  # "evo1" in the file's header: tells a run from any other database

# Rows are written and read in the order of these columns.
TABLES = """
CREATE TABLE candidates (
    number INTEGER NOT NULL,
    digest TEXT NOT NULL,
    language TEXT NOT NULL,
    operator TEXT NOT NULL,
    note TEXT NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (number)
);
CREATE INDEX ix_candidates_digest ON candidates (digest);
CREATE INDEX ix_candidates_listed ON candidates (number, operator);

-- Who descends from whom: one row per parent, `place` 0 for the first.
CREATE TABLE edges (
    child INTEGER NOT NULL,
    place INTEGER NOT NULL,
    parent INTEGER NOT NULL,
    PRIMARY KEY (child, place),
    FOREIGN KEY(child) REFERENCES candidates (number),
    FOREIGN KEY(parent) REFERENCES candidates (number)
) WITHOUT ROWID;
CREATE INDEX ix_edges_parent ON edges (parent, child);

-- A kernel's own evaluation has its number. One that measured it again has the number of the
-- proposal to do so, which is in `remeasurements`.
CREATE TABLE evaluations (
    number INTEGER NOT NULL,
    kernel INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    checks_passed INTEGER NOT NULL,
    checks_total INTEGER NOT NULL,
    diagnostics TEXT NOT NULL,
    speedup FLOAT,
    speedup_low FLOAT,
    speedup_high FLOAT,
    build_s FLOAT NOT NULL,
    run_s FLOAT NOT NULL,
    device_s FLOAT NOT NULL,
    details TEXT NOT NULL,
    stored_unix_s FLOAT NOT NULL,
    PRIMARY KEY (number),
    FOREIGN KEY(kernel) REFERENCES candidates (number)
);
CREATE INDEX ix_evaluations_listed
    ON evaluations (kernel, number, outcome, speedup, speedup_low, speedup_high);
CREATE INDEX ix_evaluations_best ON evaluations (speedup_low, speedup);

CREATE TABLE timings (
    number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    workload TEXT NOT NULL,
    baseline TEXT NOT NULL,
    candidate_ms FLOAT NOT NULL,
    baseline_ms FLOAT NOT NULL,
    speedup FLOAT NOT NULL,
    speedup_low FLOAT NOT NULL,
    speedup_high FLOAT NOT NULL,
    log_ratios BLOB NOT NULL,
    PRIMARY KEY (number, position),
    FOREIGN KEY(number) REFERENCES evaluations (number)
);

-- Proposals to measure a kernel again.
CREATE TABLE remeasurements (
    number INTEGER NOT NULL,
    kernel INTEGER NOT NULL,
    PRIMARY KEY (number),
    FOREIGN KEY(kernel) REFERENCES candidates (number)
);

CREATE TABLE trials (
    number INTEGER NOT NULL,
    skeleton TEXT NOT NULL,
    params TEXT NOT NULL,
    value FLOAT,
    state TEXT NOT NULL,
    PRIMARY KEY (number),
    FOREIGN KEY(number) REFERENCES candidates (number)
);
CREATE INDEX ix_trials_skeleton ON trials (skeleton);

CREATE TABLE proposals (
    number INTEGER NOT NULL,
    operator TEXT NOT NULL,
    parents TEXT NOT NULL,
    model TEXT NOT NULL,
    PRIMARY KEY (number)
);

CREATE TABLE calls (
    proposal INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    operator TEXT NOT NULL,
    messages TEXT NOT NULL,
    text TEXT NOT NULL,
    finish TEXT NOT NULL,
    model TEXT NOT NULL,
    tokens_in INTEGER NOT NULL,
    tokens_cached INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    cost_usd FLOAT NOT NULL,
    latency_s FLOAT NOT NULL,
    stored_unix_s FLOAT NOT NULL,
    PRIMARY KEY (proposal, turn),
    FOREIGN KEY(proposal) REFERENCES proposals (number)
);

CREATE TABLE rejections (
    number INTEGER NOT NULL,
    reason TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (number),
    FOREIGN KEY(number) REFERENCES proposals (number)
);

CREATE TABLE events (
    id INTEGER NOT NULL,
    stored_unix_s FLOAT NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE meta (
    "key" TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY ("key")
);
"""

# Parameters have the names of the columns, which `populations.rows` gives them.
INSERT_CANDIDATE = (
    "INSERT INTO candidates VALUES (:number, :digest, :language, :operator, :note, :source)"
)
INSERT_EDGE = "INSERT INTO edges VALUES (:child, :place, :parent)"
INSERT_EVALUATION = (
    "INSERT INTO evaluations VALUES (:number, :kernel, :outcome, :checks_passed, :checks_total, "
    ":diagnostics, :speedup, :speedup_low, :speedup_high, :build_s, :run_s, :device_s, :details, "
    ":stored_unix_s)"
)
INSERT_TIMING = (
    "INSERT INTO timings VALUES (:number, :position, :workload, :baseline, :candidate_ms, "
    ":baseline_ms, :speedup, :speedup_low, :speedup_high, :log_ratios)"
)
INSERT_REMEASUREMENT = "INSERT INTO remeasurements VALUES (:number, :kernel)"
INSERT_TRIAL = "INSERT INTO trials VALUES (:number, :skeleton, :params, :value, :state)"
INSERT_PROPOSAL = "INSERT INTO proposals VALUES (:number, :operator, :parents, :model)"
INSERT_CALL = (
    "INSERT INTO calls VALUES (:proposal, :turn, :operator, :messages, :text, :finish, :model, "
    ":tokens_in, :tokens_cached, :tokens_out, :cost_usd, :latency_s, :stored_unix_s)"
)
INSERT_REJECTION = "INSERT INTO rejections VALUES (:number, :reason, :text)"
# Its id is the next free one.
INSERT_EVENT = (
    "INSERT INTO events (stored_unix_s, kind, data) VALUES (:stored_unix_s, :kind, :data)"
)
SET_META = (
    "INSERT INTO meta VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)

ALL_CANDIDATES = "SELECT * FROM candidates ORDER BY number"
ALL_EDGES = "SELECT child, parent FROM edges ORDER BY child, place"
ALL_EVALUATIONS = "SELECT * FROM evaluations WHERE number = kernel ORDER BY number"
# What was measured again: evaluations under the numbers of the proposals to do so.
ALL_FURTHER = "SELECT * FROM evaluations WHERE number != kernel ORDER BY number"
ALL_TIMINGS = "SELECT * FROM timings ORDER BY number, position"
ALL_REMEASUREMENTS = "SELECT * FROM remeasurements ORDER BY number"
ALL_TRIALS = "SELECT * FROM trials ORDER BY number"
ALL_PROPOSALS = "SELECT * FROM proposals ORDER BY number"
ALL_CALLS = "SELECT * FROM calls ORDER BY proposal, turn"
ALL_REJECTIONS = "SELECT * FROM rejections ORDER BY number"
ALL_EVENTS = "SELECT * FROM events ORDER BY id"
ONE_EVALUATION = "SELECT * FROM evaluations WHERE number = :number"
ONE_TIMINGS = "SELECT * FROM timings WHERE number = :number ORDER BY position"
ONE_META = "SELECT value FROM meta WHERE key = :key"
WHEN_STORED = "SELECT number, stored_unix_s FROM evaluations WHERE number = kernel ORDER BY number"
NUMBER_BY_DIGEST = (
    "SELECT e.number FROM evaluations AS e JOIN candidates AS c ON c.number = e.number "
    "WHERE c.digest = :digest ORDER BY e.number LIMIT 1"
)


def connect(file: str) -> sqlite3.Connection:
    """Open one connection to `file`, which appears when something is written.

    It only reads until `make_writable`. A reader waits up to 5 s for a writer's short exclusive
    moments (creation, the last checkpoint). Every transaction is begun and ended by a statement of
    ours. One thread at a time may use it, and not always the same one.
    """
    connection = sqlite3.connect(file, timeout=5.0, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA query_only = ON")
    return connection


def make_writable(connection: sqlite3.Connection) -> None:
    """Let a connection write, in WAL mode."""
    connection.execute("PRAGMA query_only = OFF")
    value(connection, "PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


@contextmanager
def transaction(connection: sqlite3.Connection, *, immediate: bool = False) -> Iterator[None]:
    """Commit what happens within at its end, or, when it raises, none of it.

    With `immediate`, nobody else writes from the beginning on, rather than from the first write.
    """
    try:
        connection.execute("BEGIN IMMEDIATE" if immediate else "BEGIN")
        yield
        connection.commit()
    except BaseException:
        # Does nothing where the database itself has rolled back, as it does when the disk is full.
        connection.rollback()
        raise


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables and mark the file as a run of this schema, in the transaction that is open.

    One statement after the other: `executescript` would commit first.
    """
    for statement in TABLES.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether a database has no table at all."""
    return not value(connection, "SELECT count(*) FROM sqlite_master")


def value(connection: sqlite3.Connection, statement: str) -> Any:
    """What a statement gives that has one row of one column."""
    return connection.execute(statement).fetchone()[0]
