"""Schema 2, the first that can be migrated from: tables for what models were asked."""

revision = "2"
down_revision = None


def upgrade() -> None:
    """Nothing: this is where the chain begins."""
