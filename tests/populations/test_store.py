import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from populations.errors import StoreError
from populations.kernel import Candidate
from populations.store import Store
from tests.contracts.samples import failed, passed

ROOT = Path(__file__).parents[2]


def made(path):
    Store.create(path, experiment="", fingerprint="f1").close()


def execute(path, statement):
    with closing(sqlite3.connect(path / "run.db")) as connection:
        connection.execute(statement)
        connection.commit()


def refused(act):
    with pytest.raises(StoreError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_file_may_be_named_instead_of_its_directory(tmp_path):
    with Store.create(tmp_path / "other.db", experiment="", fingerprint="f1") as store:
        store.add_event("a", {})
    with Store.open(tmp_path / "other.db") as store:
        assert len(store.events()) == 1
    assert not (tmp_path / "run.db").exists()


def test_it_is_in_wal_mode(tmp_path):
    with (
        Store.create(tmp_path, experiment="", fingerprint="f1"),
        closing(sqlite3.connect(tmp_path / "run.db")) as connection,
    ):
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_run_is_not_overwritten(tmp_path):
    made(tmp_path)
    message = refused(lambda: Store.create(tmp_path, experiment="", fingerprint="f2"))
    assert "holds a run already" in message
    with Store.open(tmp_path, fingerprint="f1") as store:
        assert store.meta("fingerprint") == "f1"


def test_another_experiment_is_refused_by_name_and_left_alone(tmp_path):
    made(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    message = refused(lambda: Store.open(tmp_path, fingerprint="f2"))
    assert "f1" in message
    assert "f2" in message
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_newer_schema_is_refused(tmp_path):
    made(tmp_path)
    execute(tmp_path, "PRAGMA user_version = 99")
    assert "schema 99" in refused(lambda: Store.open(tmp_path))


@pytest.mark.parametrize("content", [b"", b"not a database, though long enough to look" * 40])
def test_a_file_that_is_no_run_is_refused(tmp_path, content):
    (tmp_path / "run.db").write_bytes(content)
    refused(lambda: Store.open(tmp_path))
    assert (tmp_path / "run.db").read_bytes() == content


def test_another_program_s_database_is_refused(tmp_path):
    execute(tmp_path, "CREATE TABLE other (x)")
    assert "not a run of evo" in refused(lambda: Store.open(tmp_path))
    refused(lambda: Store.create(tmp_path, experiment="", fingerprint="f1"))


def test_missing_places_are_refused(tmp_path):
    assert "no run at" in refused(lambda: Store.open(tmp_path))
    for nowhere in (tmp_path / "a", tmp_path / "a" / "run.db"):
        refused(lambda place=nowhere: Store.create(place, experiment="", fingerprint="f1"))
    assert list(tmp_path.iterdir()) == []


def test_creation_that_was_cut_short_can_be_repeated(tmp_path):
    with closing(sqlite3.connect(tmp_path / "run.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    assert (tmp_path / "run.db").stat().st_size
    made(tmp_path)
    with Store.open(tmp_path, fingerprint="f1") as store:
        assert store.candidates() == []


def test_one_writer_many_readers(tmp_path):
    with Store.create(tmp_path, experiment="", fingerprint="f1") as writer:
        assert "another process is writing" in refused(lambda: Store.open(tmp_path))
        with (
            Store.open(tmp_path, read_only=True) as first,
            Store.open(tmp_path, read_only=True) as second,
        ):
            writer.add_candidate(Candidate(0, "x", "cpp"))
            assert len(first.candidates()) == len(second.candidates()) == 1
            writer.add_evaluation(0, failed())
            assert first.evaluations() == {0: failed()}
            refused(lambda: first.add_event("a", {}))
    with Store.open(tmp_path) as again:
        again.add_event("a", {})


def test_closing_twice_is_harmless(tmp_path):
    with Store.create(tmp_path, experiment="", fingerprint="f1") as store:
        store.close()
    made_again = Store.open(tmp_path)
    made_again.close()
    made_again.close()


WRITER = """
import sys
from pathlib import Path
from populations.kernel import Candidate
from populations.store import Store
from tests.contracts.samples import passed

store = Store.create(Path(sys.argv[1]), experiment="", fingerprint="f1")
for number in range(100_000):
    store.add_candidate(Candidate(number, f"x = {number}", "cpp"))
    print(f"candidate {number}", flush=True)
    store.add_evaluation(number, passed(1 + number))
    print(f"evaluation {number}", flush=True)
"""


@pytest.mark.parametrize("lines", [1, 40, 301])
def test_what_was_added_outlives_kill_9(tmp_path, lines):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, env=environment
    ) as writer:
        for _ in range(lines):
            assert writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        said = lines + len(writer.stdout.read().splitlines())
    with Store.open(tmp_path, fingerprint="f1") as store:
        candidates, evaluations = store.candidates(), store.evaluations()
    # One more of either may have been committed and not yet announced.
    assert 0 <= len(candidates) + len(evaluations) - said <= 1
    assert [c.number for c in candidates] == list(range(len(candidates)))
    assert evaluations == {n: passed(1 + n) for n in range(len(evaluations))}
    assert 0 <= len(candidates) - len(evaluations) <= 1


def test_a_file_without_a_commit_is_no_run_yet(tmp_path):
    assert not Store.begun(tmp_path)
    connection = sqlite3.connect(tmp_path / "run.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE kernels (number)")
    connection.rollback()
    connection.close()
    assert (tmp_path / "run.db").exists()
    assert not Store.begun(tmp_path)
    Store.create(tmp_path, experiment="", fingerprint="x").close()
    assert Store.begun(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.db").write_text("no database at all, but somebody's file")
    assert Store.begun(tmp_path / "other")
