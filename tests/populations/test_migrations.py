import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from populations import migrations, schema
from populations.errors import StoreError
from populations.kernel import Candidate
from populations.rows import Proposal, Rejection, Trial
from populations.store import Store
from tests.contracts.samples import failed, passed
from tests.populations import schema_2

ROOT = Path(__file__).parents[2]
CANDIDATES = [
    Candidate(0, "a = 'größe'\r\n", "cpp", note="first"),
    Candidate(1, "b", "cpp", "tune", (0,)),
    Candidate(2, "c", "triton", "merge", (1, 0), "note"),
    Candidate(4, "d", "python", "crossover", (2, 0, 1)),
    Candidate(5, "e", "python"),
]
EVALUATIONS = {
    0: replace(passed(1.0), details={"stages": [1, 2.5]}, build_s=0.1),
    1: failed(),
    2: passed(1 / 3),
    4: replace(failed(), diagnostics="line\nline"),
}


@pytest.fixture
def old(tmp_path):
    schema_2.write(tmp_path, CANDIDATES, EVALUATIONS)
    return tmp_path


def everything(folder):
    """Every file of a folder with its contents; a reader's lock file may come and go."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def version(path):
    with closing(sqlite3.connect(path)) as run:
        return run.execute("PRAGMA user_version").fetchone()[0]


def tables(path):
    """Every table and index by name, as text without the accidents of writing it."""
    with closing(sqlite3.connect(path)) as run:
        found = run.execute("SELECT name, sql FROM sqlite_master").fetchall()
    return {name: re.sub(r'[\s"]+', "", sql or "") for name, sql in found}


def shows_it_all(store):
    assert store.candidates() == CANDIDATES
    assert store.evaluations() == EVALUATIONS
    assert [c.number for c in store.pending()] == [5]
    assert store.find(CANDIDATES[2].digest) == EVALUATIONS[2]
    assert store.trials() == [Trial(1, "ab", {"TILE": 64}, 0.5, "complete")]
    assert store.proposals() == [Proposal(3, "rewrite", (0, 2), "m")]
    assert store.rejections() == [Rejection(3, "empty", "no kernel")]
    assert [call.answer.tokens_cached for call in store.calls()] == [2]
    assert [(e.kind, e.data, e.stored_unix_s) for e in store.events()] == [
        ("started", {"at": 1}, 5.5)
    ]
    assert store.meta("experiment") == "text"
    assert store.queries.ancestors(4) == [0, 1, 2]
    assert [entry.number for entry in store.queries.best(9)] == [0, 2]


def test_there_is_a_step_for_every_schema():
    steps = {path.stem for path in (ROOT / "populations/migrations/versions").glob("schema_*.py")}
    wanted = range(migrations.OLDEST, schema.SCHEMA_VERSION + 1)
    assert steps == {f"schema_{number}" for number in wanted}


def test_an_older_run_goes_on_in_the_present_schema(old, tmp_path):
    with Store.open(old, fingerprint="f1") as store:
        shows_it_all(store)
        store.add_evaluation(5, passed(9.0))
    with Store.open(old) as store:
        assert store.evaluation(5) == passed(9.0)
    new = tmp_path / "new"
    new.mkdir()
    Store.create(new, experiment="", fingerprint="").close()
    assert tables(old / "run.db") == tables(new / "run.db")
    assert version(old / "run.db") == schema.SCHEMA_VERSION


def test_a_migrated_run_is_kept_as_it_was(old):
    before = tables(old / "run.db")
    Store.open(old).close()
    copy = old / "run.schema2.db"
    assert version(copy) == 2
    assert tables(copy) == before
    with Store.open(copy, read_only=True) as store:
        shows_it_all(store)
    kept = copy.read_bytes()
    Store.open(old).close()
    assert copy.read_bytes() == kept


def test_reading_an_older_run_writes_nothing(old):
    before = everything(old)
    with Store.open(old, read_only=True) as store:
        shows_it_all(store)
        with pytest.raises(StoreError):
            store.add_event("a", {})
        assert version(old / "run.db") == 2
    assert everything(old) == before


def test_an_older_run_of_another_experiment_is_left_alone(old):
    before = everything(old)
    with pytest.raises(StoreError, match="another experiment"):
        Store.open(old, fingerprint="f2")
    assert everything(old) == before


@pytest.mark.parametrize(("number", "age"), [(1, "older"), (schema.SCHEMA_VERSION + 1, "newer")])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_schema_that_we_cannot_read_is_refused_in_a_line(tmp_path, number, age, read_only):
    schema_2.write(tmp_path, CANDIDATES, EVALUATIONS, version=number)
    before = everything(tmp_path)
    with pytest.raises(StoreError, match=f"schema {number}, which is {age}") as caught:
        Store.open(tmp_path, read_only=read_only)
    assert "\n" not in str(caught.value)
    assert everything(tmp_path) == before


def test_a_run_that_does_not_fit_together_stays_as_it_is(old):
    with closing(sqlite3.connect(old / "run.db")) as run:
        run.execute("UPDATE candidates SET parents = '[77]' WHERE number = 5")
        run.commit()
    before = tables(old / "run.db")
    with pytest.raises(StoreError, match="refers to what it does not hold"):
        Store.open(old)
    assert tables(old / "run.db") == before
    assert version(old / "run.db") == 2


@pytest.mark.parametrize("read_only", [False, True])
def test_a_step_that_the_database_refuses_is_one_line_and_no_step(old, read_only):
    with closing(sqlite3.connect(old / "run.db")) as run:
        run.execute("CREATE TABLE remeasurements (x)")
        run.commit()
    before = tables(old / "run.db")
    with pytest.raises(StoreError) as caught:
        Store.open(old, read_only=read_only)
    assert str(caught.value) == f"{old / 'run.db'}: table remeasurements already exists"
    assert tables(old / "run.db") == before
    assert version(old / "run.db") == 2


# Says when the tables are half made, and waits there.
STUCK = """
import sys, time
from pathlib import Path
from alembic import op
from populations.store import Store

def stuck(*arguments, **options):
    print("half way", flush=True)
    time.sleep(60)

op.rename_table = stuck
Store.open(Path(sys.argv[1]))
"""


def test_a_migration_killed_half_way_has_not_happened(old):
    before = tables(old / "run.db")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", STUCK, str(old)], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout.readline() == b"half way\n"
        # A reader is not in the way, nor kept waiting.
        with Store.open(old, read_only=True) as store:
            shows_it_all(store)
        process.send_signal(signal.SIGKILL)
    assert tables(old / "run.db") == before
    assert version(old / "run.db") == 2
    with Store.open(old) as store:
        shows_it_all(store)
    assert version(old / "run.db") == schema.SCHEMA_VERSION


OPENED = """
import sys
from pathlib import Path
from populations.store import Store
with Store.open(Path(sys.argv[1]), read_only=sys.argv[2] == "r") as store:
    assert store.candidates()
print(sorted({"alembic", "sqlalchemy"} & set(sys.modules)))
"""


@pytest.mark.parametrize("how", ["r", "w"])
def test_only_a_migration_pays_for_alembic(old, how):
    def imported():
        command = [sys.executable, "-c", OPENED, str(old), how]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, env=environment, capture_output=True, check=True).stdout

    assert imported() == b"['alembic', 'sqlalchemy']\n"
    Store.open(old).close()
    assert imported() == b"[]\n"


def test_there_must_be_room_for_the_copy(old):
    (old / "run.schema2.db.part").mkdir()
    before = tables(old / "run.db")
    with pytest.raises(StoreError, match="cannot be copied"):
        Store.open(old)
    assert tables(old / "run.db") == before
    (old / "run.schema2.db.part").rmdir()
    Store.open(old).close()
