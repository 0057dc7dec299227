"""The tables of a run of schema 3 as its first writer made them: `sqlite_master`, line by line."""

TABLES = """
CREATE TABLE candidates ( number INTEGER NOT NULL, digest TEXT NOT NULL, language TEXT NOT NULL,
    operator TEXT NOT NULL, note TEXT NOT NULL, source TEXT NOT NULL, PRIMARY KEY (number) );
CREATE INDEX ix_candidates_digest ON candidates (digest);
CREATE INDEX ix_candidates_listed ON candidates (number, operator);
CREATE TABLE proposals ( number INTEGER NOT NULL, operator TEXT NOT NULL, parents TEXT NOT NULL,
    model TEXT NOT NULL, PRIMARY KEY (number) );
CREATE TABLE events ( id INTEGER NOT NULL, stored_unix_s FLOAT NOT NULL, kind TEXT NOT NULL,
    data TEXT NOT NULL, PRIMARY KEY (id) );
CREATE TABLE meta ( "key" TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY ("key") );
CREATE TABLE edges ( child INTEGER NOT NULL, place INTEGER NOT NULL, parent INTEGER NOT NULL,
    PRIMARY KEY (child, place), FOREIGN KEY(child) REFERENCES candidates (number), FOREIGN
    KEY(parent) REFERENCES candidates (number) ) WITHOUT ROWID;
CREATE INDEX ix_edges_parent ON edges (parent, child);
CREATE TABLE evaluations ( number INTEGER NOT NULL, kernel INTEGER NOT NULL, outcome TEXT NOT
    NULL, checks_passed INTEGER NOT NULL, checks_total INTEGER NOT NULL, diagnostics TEXT NOT
    NULL, speedup FLOAT, speedup_low FLOAT, speedup_high FLOAT, build_s FLOAT NOT NULL, run_s
    FLOAT NOT NULL, device_s FLOAT NOT NULL, details TEXT NOT NULL, stored_unix_s FLOAT NOT
    NULL, PRIMARY KEY (number), FOREIGN KEY(kernel) REFERENCES candidates (number) );
CREATE INDEX ix_evaluations_best ON evaluations (speedup_low, speedup);
CREATE INDEX ix_evaluations_listed ON evaluations (kernel, number, outcome, speedup,
    speedup_low, speedup_high);
CREATE TABLE remeasurements ( number INTEGER NOT NULL, kernel INTEGER NOT NULL, PRIMARY KEY
    (number), FOREIGN KEY(kernel) REFERENCES candidates (number) );
CREATE TABLE trials ( number INTEGER NOT NULL, skeleton TEXT NOT NULL, params TEXT NOT NULL,
    value FLOAT, state TEXT NOT NULL, PRIMARY KEY (number), FOREIGN KEY(number) REFERENCES
    candidates (number) );
CREATE INDEX ix_trials_skeleton ON trials (skeleton);
CREATE TABLE calls ( proposal INTEGER NOT NULL, turn INTEGER NOT NULL, operator TEXT NOT NULL,
    messages TEXT NOT NULL, text TEXT NOT NULL, finish TEXT NOT NULL, model TEXT NOT NULL,
    tokens_in INTEGER NOT NULL, tokens_cached INTEGER NOT NULL, tokens_out INTEGER NOT NULL,
    cost_usd FLOAT NOT NULL, latency_s FLOAT NOT NULL, stored_unix_s FLOAT NOT NULL, PRIMARY KEY
    (proposal, turn), FOREIGN KEY(proposal) REFERENCES proposals (number) );
CREATE TABLE rejections ( number INTEGER NOT NULL, reason TEXT NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (number), FOREIGN KEY(number) REFERENCES proposals (number) );
CREATE TABLE timings ( number INTEGER NOT NULL, position INTEGER NOT NULL, workload TEXT NOT
    NULL, baseline TEXT NOT NULL, candidate_ms FLOAT NOT NULL, baseline_ms FLOAT NOT NULL,
    speedup FLOAT NOT NULL, speedup_low FLOAT NOT NULL, speedup_high FLOAT NOT NULL, log_ratios
    BLOB NOT NULL, PRIMARY KEY (number, position), FOREIGN KEY(number) REFERENCES evaluations
    (number) );
"""
