"""Runs written by earlier versions of evo: their tables brought to the present form, by alembic.

Every schema since the oldest one that can be read has a module in `populations.migrations.versions`
that makes it of the one before. The version that a file has stands in its header (`PRAGMA
user_version`), where it can be read before anything else is; alembic's own table lives only as long
as a migration.

alembic, and SQLAlchemy with it, take a while to import and some memory. Only a file that needs
them pays for them: everything else in this room speaks to sqlite3 itself.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from populations import schema
from populations.errors import StoreError

OLDEST = 2


def version_of(connection: sqlite3.Connection) -> int:
    """The schema that a file has; 0 for a file that was not made by us."""
    return int(schema.value(connection, "PRAGMA user_version"))


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to the present schema, in one transaction: wholly or, killed, not at all.

    Args:
        connection: May write, and has no transaction open.

    Raises what the database raises, with the file as it was; StoreError when rows do not fit
    together afterwards.
    """
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import StaticPool

    config = Config()
    folder = str(Path(__file__).parent)
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    # Never disposed of: that would close the connection, which is the caller's.
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    # A table that others refer to cannot be made anew otherwise. No effect within a transaction.
    connection.execute("PRAGMA foreign_keys = OFF")
    try:
        # SQLAlchemy is to know of the transaction, or alembic would commit every step; but it
        # leaves it to the driver to begin one, and ours leaves it to us.
        with engine.begin() as wrapped:
            connection.execute("BEGIN IMMEDIATE")
            config.attributes["connection"] = wrapped
            command.upgrade(config, "head")
            if broken := connection.execute("PRAGMA foreign_key_check").fetchall():
                raise StoreError(f"the run refers to what it does not hold: {broken[0]}")
    except SQLAlchemyError as error:
        raise sqlite3.DatabaseError(str(getattr(error, "orig", None) or error)) from error
    finally:
        connection.execute("PRAGMA foreign_keys = ON")


def keep_copy(file: Path, version: int) -> Path:
    """Copy a run beside itself as it is, before it is migrated; returns the copy.

    A migration that turns out to be wrong has then destroyed nothing, and the version of evo that
    wrote the run can go on reading it. Raises StoreError when there is no room for it.
    """
    copy = file.with_name(f"{file.stem}.schema{version}{file.suffix}")
    part = copy.with_name(f"{copy.name}.part")
    try:
        part.unlink(missing_ok=True)
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(part)) as target:
            source.backup(target)
        part.replace(copy)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{file} cannot be copied before it is migrated: {error}") from error
    return copy


def migrated_in_memory(connection: sqlite3.Connection) -> sqlite3.Connection:
    """A copy of a run at the present schema that lives in memory; the file is only read.

    It shows the run as it is now: what is written later does not appear.
    """
    copy = schema.connect(":memory:")
    try:
        connection.backup(copy)
        copy.execute("PRAGMA query_only = OFF")
        migrate(copy)
        copy.execute("PRAGMA query_only = ON")
    except BaseException:
        copy.close()
        raise
    return copy
