"""Runs written by earlier versions of evo: their tables brought to the present form, by alembic.

Every schema since the oldest one that can be read has a module in `populations.migrations.versions`
that makes it of the one before. The version that a file has stands in its header (`PRAGMA
user_version`), where it can be read before anything else is; alembic's own table lives only as long
as a migration.

alembic takes a while to import. Only a file that needs it pays for it.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from populations.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection

OLDEST = 2


def version_of(connection: Connection) -> int:
    """The schema that a file has; 0 for a file that was not made by us."""
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar() or 0)


def migrate(connection: Connection) -> None:
    """Bring the tables to the present schema, in one transaction: wholly or, killed, not at all.

    Args:
        connection: May write, and has no transaction open.

    Raises what the database raises, with the file as it was; StoreError when rows do not fit
    together afterwards.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    folder = str(Path(__file__).parent)
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    # A table that others refer to cannot be made anew otherwise. No effect within a transaction.
    connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        command.upgrade(config, "head")
        if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all():
            raise StoreError(f"the run refers to what it does not hold: {broken[0]}")
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    finally:
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")


def keep_copy(file: Path, version: int) -> Path:
    """Copy a run beside itself as it is, before it is migrated; returns the copy.

    A migration that turns out to be wrong has then destroyed nothing, and the version of evo that
    wrote the run can go on reading it. Raises StoreError when there is no room for it.
    """
    import sqlite3

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


def migrated_in_memory(connection: Connection) -> Connection:
    """A copy of a run at the present schema that lives in memory; the file is only read.

    It shows the run as it is now: what is written later does not appear.
    """
    from populations import schema

    copy = schema.connect(":memory:")
    try:
        schema.driver(connection).backup(schema.driver(copy))
        copy.exec_driver_sql("PRAGMA query_only = OFF")
        migrate(copy)
        copy.exec_driver_sql("PRAGMA query_only = ON")
    except BaseException:
        schema.close(copy)
        raise
    return copy
