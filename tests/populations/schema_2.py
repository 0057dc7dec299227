"""A run as schema 2 kept it, written without the store: what earlier versions left behind."""

from __future__ import annotations

import json
import sqlite3
from array import array
from contextlib import closing
from pathlib import Path

from populations.kernel import Candidate
from populations.outcome import Evaluation

TABLES = """
CREATE TABLE candidates (
    number INTEGER NOT NULL, digest TEXT NOT NULL, language TEXT NOT NULL, operator TEXT NOT NULL,
    parents TEXT NOT NULL, note TEXT NOT NULL, source TEXT NOT NULL, PRIMARY KEY (number)
);
CREATE TABLE proposals (
    number INTEGER NOT NULL, operator TEXT NOT NULL, parents TEXT NOT NULL, model TEXT NOT NULL,
    PRIMARY KEY (number)
);
CREATE TABLE events (
    id INTEGER NOT NULL, stored_unix_s FLOAT NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE meta ("key" TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY ("key"));
CREATE TABLE evaluations (
    number INTEGER NOT NULL, outcome TEXT NOT NULL, checks_passed INTEGER NOT NULL,
    checks_total INTEGER NOT NULL, diagnostics TEXT NOT NULL, speedup FLOAT, speedup_low FLOAT,
    speedup_high FLOAT, build_s FLOAT NOT NULL, run_s FLOAT NOT NULL, device_s FLOAT NOT NULL,
    details TEXT NOT NULL, stored_unix_s FLOAT NOT NULL,
    PRIMARY KEY (number), FOREIGN KEY(number) REFERENCES candidates (number)
);
CREATE TABLE trials (
    number INTEGER NOT NULL, skeleton TEXT NOT NULL, params TEXT NOT NULL, value FLOAT,
    state TEXT NOT NULL, PRIMARY KEY (number), FOREIGN KEY(number) REFERENCES candidates (number)
);
CREATE TABLE calls (
    proposal INTEGER NOT NULL, turn INTEGER NOT NULL, operator TEXT NOT NULL,
    messages TEXT NOT NULL, text TEXT NOT NULL, finish TEXT NOT NULL, model TEXT NOT NULL,
    tokens_in INTEGER NOT NULL, tokens_cached INTEGER NOT NULL, tokens_out INTEGER NOT NULL,
    cost_usd FLOAT NOT NULL, latency_s FLOAT NOT NULL, stored_unix_s FLOAT NOT NULL,
    PRIMARY KEY (proposal, turn), FOREIGN KEY(proposal) REFERENCES proposals (number)
);
CREATE TABLE rejections (
    number INTEGER NOT NULL, reason TEXT NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (number), FOREIGN KEY(number) REFERENCES proposals (number)
);
CREATE TABLE timings (
    number INTEGER NOT NULL, position INTEGER NOT NULL, workload TEXT NOT NULL,
    baseline TEXT NOT NULL, candidate_ms FLOAT NOT NULL, baseline_ms FLOAT NOT NULL,
    speedup FLOAT NOT NULL, speedup_low FLOAT NOT NULL, speedup_high FLOAT NOT NULL,
    log_ratios BLOB NOT NULL,
    PRIMARY KEY (number, position), FOREIGN KEY(number) REFERENCES evaluations (number)
);
CREATE INDEX ix_candidates_digest ON candidates (digest);
CREATE INDEX ix_trials_skeleton ON trials (skeleton);
"""


def write(
    folder: Path, candidates: list[Candidate], evaluations: dict[int, Evaluation], *, version=2
) -> None:
    """Write `run.db` with these, and an entry in each of the other tables."""
    with closing(sqlite3.connect(folder / "run.db")) as run:
        run.execute("PRAGMA journal_mode = WAL")
        run.executescript(TABLES)
        run.execute(f"PRAGMA application_id = {0x65766F31}")
        run.execute(f"PRAGMA user_version = {version}")
        meta = {"experiment": "text", "fingerprint": "f1"}
        run.executemany(
            "INSERT INTO meta VALUES (?, ?)", [(k, json.dumps(v)) for k, v in meta.items()]
        )
        for c in candidates:
            row = (c.number, c.digest, c.language, c.operator, json.dumps(c.parents), c.note)
            run.execute("INSERT INTO candidates VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, c.source))
        for number, evaluation in evaluations.items():
            _write_evaluation(run, number, evaluation)
        run.execute("INSERT INTO trials VALUES (1, 'ab', '{\"TILE\": 64}', 0.5, 'complete')")
        run.execute("INSERT INTO proposals VALUES (3, 'rewrite', '[0, 2]', 'm')")
        run.execute("INSERT INTO rejections VALUES (3, 'empty', 'no kernel')")
        call = (
            3,
            0,
            "rewrite",
            '[["user", "faster"]]',
            "no",
            "complete",
            "m",
            1,
            2,
            3,
            0.25,
            1.5,
            9.0,
        )
        run.execute(f"INSERT INTO calls VALUES ({', '.join('?' * len(call))})", call)
        run.execute("INSERT INTO events VALUES (1, 5.5, 'started', '{\"at\": 1}')")
        run.commit()


def _write_evaluation(run: sqlite3.Connection, number: int, evaluation: Evaluation) -> None:
    def numbers(speedup):
        return (speedup.value, speedup.low, speedup.high) if speedup else (None, None, None)

    e = evaluation
    row = (number, e.outcome, e.checks_passed, e.checks_total, e.diagnostics, *numbers(e.speedup))
    row += (e.build_s, e.run_s, e.device_s, json.dumps(dict(e.details)), 7.0)
    run.execute(f"INSERT INTO evaluations VALUES ({', '.join('?' * len(row))})", row)
    for place, t in enumerate(e.timings):
        samples = array("d", t.log_ratios).tobytes()
        row = (number, place, t.workload, t.baseline, t.candidate_ms, t.baseline_ms)
        row += (*numbers(t.speedup), samples)
        run.execute(f"INSERT INTO timings VALUES ({', '.join('?' * len(row))})", row)
