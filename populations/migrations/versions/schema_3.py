"""Schema 3: parents in a table of their own, evaluations of a kernel's, indices for lists."""

import json

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"

# The columns of evaluations that have not changed.
_KEPT = (
    "outcome, checks_passed, checks_total, diagnostics, speedup, speedup_low, speedup_high, "
    "build_s, run_s, device_s, details, stored_unix_s"
)


def upgrade() -> None:
    """Make it of schema 2."""
    _parents()
    _evaluations()
    op.create_table(
        "remeasurements",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kernel", sa.Integer, sa.ForeignKey("candidates.number"), nullable=False),
    )
    op.create_index("ix_candidates_listed", "candidates", ["number", "operator"])


def _parents() -> None:
    edges = op.create_table(
        "edges",
        sa.Column("child", sa.Integer, sa.ForeignKey("candidates.number"), primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("parent", sa.Integer, sa.ForeignKey("candidates.number"), nullable=False),
        sqlite_with_rowid=False,
    )
    found = op.get_bind().exec_driver_sql("SELECT number, parents FROM candidates ORDER BY number")
    rows = [
        {"child": child, "place": place, "parent": parent}
        for child, parents in found.all()
        for place, parent in enumerate(json.loads(parents))
    ]
    op.bulk_insert(edges, rows)
    op.create_index("ix_edges_parent", "edges", ["parent", "child"])
    op.drop_column("candidates", "parents")


def _evaluations() -> None:
    op.create_table(
        "evaluations_3",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kernel", sa.Integer, sa.ForeignKey("candidates.number"), nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("checks_passed", sa.Integer, nullable=False),
        sa.Column("checks_total", sa.Integer, nullable=False),
        sa.Column("diagnostics", sa.Text, nullable=False),
        sa.Column("speedup", sa.Float),
        sa.Column("speedup_low", sa.Float),
        sa.Column("speedup_high", sa.Float),
        sa.Column("build_s", sa.Float, nullable=False),
        sa.Column("run_s", sa.Float, nullable=False),
        sa.Column("device_s", sa.Float, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("stored_unix_s", sa.Float, nullable=False),
    )
    op.execute(
        f"INSERT INTO evaluations_3 (number, kernel, {_KEPT}) "
        f"SELECT number, number, {_KEPT} FROM evaluations ORDER BY number"
    )
    op.drop_table("evaluations")
    op.rename_table("evaluations_3", "evaluations")
    listed = ["kernel", "number", "outcome", "speedup", "speedup_low", "speedup_high"]
    op.create_index("ix_evaluations_listed", "evaluations", listed)
    op.create_index("ix_evaluations_best", "evaluations", ["speedup_low", "speedup"])
