import os
import re
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from populations import schema
from populations.errors import StoreError
from populations.kernel import Candidate
from populations.store import Store
from tests.contracts.samples import failed, passed
from tests.populations import schema_3

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path, experiment="", fingerprint="f1") as made:
        yield made


def as_first_written(file):
    """A run of schema 3 that holds nothing but its experiment, made without the store."""
    with closing(sqlite3.connect(file)) as run:
        run.execute("PRAGMA journal_mode = WAL")
        run.executescript(schema_3.TABLES)
        run.execute(f"PRAGMA application_id = {0x65766F31}")
        run.execute("PRAGMA user_version = 3")
        run.execute("INSERT INTO meta VALUES ('experiment', '\"\"'), ('fingerprint', '\"f1\"')")
        run.commit()


def written(run):
    """Every table and index by name, as text without the accidents of writing it."""
    found = run.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    return {tuple(key): _compact(sql or "") for *key, sql in found}


def _compact(sql):
    return re.sub(r" ?([(),]) ?", r"\1", " ".join(sql.split()))


def understood(run):
    """What SQLite makes of it: columns, keys and indices, each in its order."""
    names = [name for (name,) in run.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {}
    for name in names:
        indices = run.execute(f"PRAGMA index_list({name})").fetchall()
        found[name] = (
            run.execute(f"PRAGMA table_xinfo({name})").fetchall(),
            run.execute(f"PRAGMA foreign_key_list({name})").fetchall(),
            # The place in the list is that of the statement in the text.
            {
                index[1:]: run.execute(f"PRAGMA index_xinfo({index[1]})").fetchall()
                for index in indices
            },
        )
    kinds = {row[1]: row[2:] for row in run.execute("PRAGMA table_list") if row[1] in names}
    return found, kinds


def test_the_tables_are_those_of_every_file_of_this_schema(store, tmp_path):
    assert schema.SCHEMA_VERSION == 3, "a new schema: keep the text of its tables here too"
    store.close()
    as_first_written(tmp_path / "first.db")
    with (
        closing(sqlite3.connect(tmp_path / "run.db")) as now,
        closing(sqlite3.connect(tmp_path / "first.db")) as first,
    ):
        assert written(now) == written(first)
        assert understood(now) == understood(first)
        for header in ("application_id", "user_version", "journal_mode", "encoding"):
            value = now.execute(f"PRAGMA {header}").fetchone()
            assert value == first.execute(f"PRAGMA {header}").fetchone()


def test_a_file_as_first_written_goes_on(tmp_path):
    as_first_written(tmp_path / "run.db")
    candidate = Candidate(0, "x", "cpp")
    with Store.open(tmp_path, fingerprint="f1") as store:
        store.add_candidate(candidate)
        store.add_evaluation(0, passed(2.0))
    with Store.open(tmp_path, read_only=True) as store:
        assert (store.candidates(), store.evaluations()) == ([candidate], {0: passed(2.0)})
    assert not list(tmp_path.glob("run.schema*"))


def settings(connection):
    names = ("query_only", "journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    return [schema.value(connection, f"PRAGMA {name}") for name in names]


def test_how_connections_are_set_up(store, tmp_path):
    assert settings(store._connection) == [0, "wal", 1, 1, 5000]
    with Store.open(tmp_path, read_only=True) as reader:
        assert settings(reader._connection)[:2] == [1, "wal"]
        assert settings(reader._connection)[-1] == 5000


def test_what_fails_half_way_leaves_nothing_and_no_transaction_open(store, tmp_path):
    store.add_candidate(Candidate(0, "x", "cpp"))
    # The candidate itself could be kept; a parent of it does not exist.
    with pytest.raises(StoreError) as caught:
        store.add_candidate(Candidate(2, "y", "cpp", "merge", (0, 1)))
    assert str(caught.value) == f"{tmp_path / 'run.db'}: FOREIGN KEY constraint failed"
    assert [c.number for c in store.candidates()] == [0]
    with pytest.raises(StoreError) as caught:
        store.add_candidate(Candidate(0, "y", "cpp"))
    assert str(caught.value).endswith("run.db: UNIQUE constraint failed: candidates.number")
    assert not store._connection.in_transaction
    store.add_candidate(Candidate(1, "y", "cpp"))
    with Store.open(tmp_path, read_only=True) as reader:
        assert [c.number for c in reader.candidates()] == [0, 1]


def test_nobody_else_writes_while_the_tables_are_made(tmp_path):
    def locked(connection):
        with (
            closing(sqlite3.connect(tmp_path / "run.db", timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("CREATE TABLE other (x)")

    with closing(schema.connect(str(tmp_path / "run.db"))) as connection:
        schema.make_writable(connection)
        with schema.transaction(connection, immediate=True):
            locked(connection)
            schema.create_tables(connection)
            locked(connection)
        with (
            pytest.raises(sqlite3.OperationalError, match="exists"),
            schema.transaction(connection),
        ):
            schema.create_tables(connection)
        assert not connection.in_transaction


def test_it_is_handed_from_thread_to_thread(store):
    store.add_candidate(Candidate(0, "x", "cpp"))
    with ThreadPoolExecutor(1) as other:
        other.submit(store.add_evaluation, 0, failed()).result()
        assert other.submit(store.evaluations).result() == {0: failed()}
        other.submit(store.close).result()
    with pytest.raises(StoreError):
        store.evaluations()
    with pytest.raises(StoreError):
        store.add_event("late", {})


def test_a_run_without_its_experiment_is_refused(store, tmp_path):
    store.close()
    with closing(sqlite3.connect(tmp_path / "run.db")) as run:
        run.execute("DELETE FROM meta")
        run.commit()
    with pytest.raises(StoreError, match="does not say which experiment"):
        Store.open(tmp_path, fingerprint="f1")
    Store.open(tmp_path).close()


USED = """
import sys
from pathlib import Path
from populations.kernel import Candidate
from populations.store import Store
from tests.contracts.samples import passed

place = Path(sys.argv[1])
with Store.create(place, experiment="", fingerprint="f1") as store:
    store.add_candidate(Candidate(0, "x", "cpp"))
    store.add_evaluation(0, passed(2.0))
with Store.open(place, fingerprint="f1") as store:
    store.add_event("a", {})
    assert len(store.history()) == len(store.queries.entries()) == 1
with Store.open(place, read_only=True) as store:
    assert len(store.lineage().kernels) == 1
print({"alembic", "sqlalchemy"} & set(sys.modules))
"""


def test_a_run_of_this_schema_needs_no_sqlalchemy(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", USED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"
