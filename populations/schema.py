"""The tables of `run.db` and the statements on them. Imports SQLAlchemy: import this lazily.

Floats are SQLite REALs (IEEE double, exact); raw samples are a BLOB of little-endian doubles; what
has no fixed shape (parameters, details, event data, meta values) is JSON text, which Python writes
with as many digits as it takes to read the same float back.

Sources, details and samples are most of a file. What lists need lies in indices beside them, so
that a list never reads them.

A change here is a new schema: it takes a higher SCHEMA_VERSION and a migration from the one before
(`populations.migrations`).
"""

from __future__ import annotations

import sqlite3

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    create_engine,
    insert,
    select,
)
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.pool import StaticPool

SCHEMA_VERSION = 3
APPLICATION_ID = 0x65766F31  # "evo1" in the file's header: tells a run from any other database

metadata = MetaData()

candidates = Table(
    "candidates",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False, index=True),
    Column("language", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("source", Text, nullable=False),
)
Index("ix_candidates_listed", candidates.c.number, candidates.c.operator)

# Who descends from whom: one row per parent, `place` 0 for the first.
edges = Table(
    "edges",
    metadata,
    Column("child", ForeignKey("candidates.number"), primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("parent", ForeignKey("candidates.number"), nullable=False),
    Index("ix_edges_parent", "parent", "child"),
    sqlite_with_rowid=False,
)

# A kernel's own evaluation has its number. One that measured it again has the number of the
# proposal to do so, which is in `remeasurements`.
evaluations = Table(
    "evaluations",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kernel", ForeignKey("candidates.number"), nullable=False),
    Column("outcome", Text, nullable=False),
    Column("checks_passed", Integer, nullable=False),
    Column("checks_total", Integer, nullable=False),
    Column("diagnostics", Text, nullable=False),
    Column("speedup", Float),
    Column("speedup_low", Float),
    Column("speedup_high", Float),
    Column("build_s", Float, nullable=False),
    Column("run_s", Float, nullable=False),
    Column("device_s", Float, nullable=False),
    Column("details", Text, nullable=False),
    Column("stored_unix_s", Float, nullable=False),
    Index(
        "ix_evaluations_listed",
        "kernel",
        "number",
        "outcome",
        "speedup",
        "speedup_low",
        "speedup_high",
    ),
    Index("ix_evaluations_best", "speedup_low", "speedup"),
)

timings = Table(
    "timings",
    metadata,
    Column("number", ForeignKey("evaluations.number"), primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("workload", Text, nullable=False),
    Column("baseline", Text, nullable=False),
    Column("candidate_ms", Float, nullable=False),
    Column("baseline_ms", Float, nullable=False),
    Column("speedup", Float, nullable=False),
    Column("speedup_low", Float, nullable=False),
    Column("speedup_high", Float, nullable=False),
    Column("log_ratios", LargeBinary, nullable=False),
)

# Proposals to measure a kernel again.
remeasurements = Table(
    "remeasurements",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kernel", ForeignKey("candidates.number"), nullable=False),
)

trials = Table(
    "trials",
    metadata,
    Column("number", ForeignKey("candidates.number"), primary_key=True, autoincrement=False),
    Column("skeleton", Text, nullable=False, index=True),
    Column("params", Text, nullable=False),
    Column("value", Float),
    Column("state", Text, nullable=False),
)

proposals = Table(
    "proposals",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("operator", Text, nullable=False),
    Column("parents", Text, nullable=False),
    Column("model", Text, nullable=False),
)

calls = Table(
    "calls",
    metadata,
    Column("proposal", ForeignKey("proposals.number"), primary_key=True, autoincrement=False),
    Column("turn", Integer, primary_key=True, autoincrement=False),
    Column("operator", Text, nullable=False),
    Column("messages", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("finish", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_cached", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("cost_usd", Float, nullable=False),
    Column("latency_s", Float, nullable=False),
    Column("stored_unix_s", Float, nullable=False),
)

rejections = Table(
    "rejections",
    metadata,
    Column("number", ForeignKey("proposals.number"), primary_key=True, autoincrement=False),
    Column("reason", Text, nullable=False),
    Column("text", Text, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("stored_unix_s", Float, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", Text, nullable=False),
)

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# Built once: SQLAlchemy caches the compiled form per statement object, sqlite3 the prepared one.
INSERT_CANDIDATE = insert(candidates)
INSERT_EDGE = insert(edges)
INSERT_EVALUATION = insert(evaluations)
INSERT_REMEASUREMENT = insert(remeasurements)
INSERT_TIMING = insert(timings)
INSERT_TRIAL = insert(trials)
INSERT_EVENT = insert(events)
INSERT_PROPOSAL = insert(proposals)
INSERT_CALL = insert(calls)
INSERT_REJECTION = insert(rejections)
_new_meta = upsert(meta)
SET_META = _new_meta.on_conflict_do_update(
    index_elements=["key"], set_={"value": _new_meta.excluded.value}
)
ALL_CANDIDATES = select(candidates).order_by(candidates.c.number)
ALL_EDGES = select(edges.c.child, edges.c.parent).order_by(edges.c.child, edges.c.place)
ALL_EVALUATIONS = (
    select(evaluations)
    .where(evaluations.c.number == evaluations.c.kernel)
    .order_by(evaluations.c.number)
)
# What was measured again: evaluations under the numbers of the proposals to do so.
ALL_FURTHER = (
    select(evaluations)
    .where(evaluations.c.number != evaluations.c.kernel)
    .order_by(evaluations.c.number)
)
ALL_REMEASUREMENTS = select(remeasurements).order_by(remeasurements.c.number)
ALL_TIMINGS = select(timings).order_by(timings.c.number, timings.c.position)
ALL_TRIALS = select(trials).order_by(trials.c.number)
ALL_EVENTS = select(events).order_by(events.c.id)
ALL_PROPOSALS = select(proposals).order_by(proposals.c.number)
ALL_CALLS = select(calls).order_by(calls.c.proposal, calls.c.turn)
ALL_REJECTIONS = select(rejections).order_by(rejections.c.number)
ONE_EVALUATION = select(evaluations).where(evaluations.c.number == bindparam("number"))
ONE_TIMINGS = ALL_TIMINGS.where(timings.c.number == bindparam("number"))
WHEN_STORED = (
    select(evaluations.c.number, evaluations.c.stored_unix_s)
    .where(evaluations.c.number == evaluations.c.kernel)
    .order_by(evaluations.c.number)
)
ONE_META = select(meta).where(meta.c.key == bindparam("key"))
NUMBER_BY_DIGEST = (
    select(evaluations.c.number)
    .join(candidates, candidates.c.number == evaluations.c.number)
    .where(candidates.c.digest == bindparam("digest"))
    .order_by(evaluations.c.number)
    .limit(1)
)


def connect(file: str) -> Connection:
    """Open one connection to `file`, which appears when something is written.

    It only reads until `make_writable`. A reader waits up to 5 s for a writer's short exclusive
    moments (creation, the last checkpoint).
    """
    engine = create_engine(
        URL.create("sqlite", database=file),
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "timeout": 5.0},
    )
    connection = engine.connect()
    connection.exec_driver_sql("PRAGMA query_only = ON")
    return connection


def driver(connection: Connection) -> sqlite3.Connection:
    """What is underneath a connection."""
    found = connection.connection.driver_connection
    if not isinstance(found, sqlite3.Connection):
        raise TypeError(f"expected a connection of sqlite3, but got {found!r}")
    return found


def close(connection: Connection) -> None:
    """Close a connection and let go of its file. Callable twice."""
    connection.close()
    connection.engine.dispose()


def make_writable(connection: Connection) -> None:
    """Let a connection write, in WAL mode."""
    connection.exec_driver_sql("PRAGMA query_only = OFF")
    connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
    connection.exec_driver_sql("PRAGMA foreign_keys = ON")
