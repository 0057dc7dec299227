"""A library's files: added to by several runs, read by all."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from operators.knowledge.records import Champion, Entry
from operators.knowledge.shelf import Shelf
from populations.errors import StoreError
from tests.operators.knowledge.samples import best, made

# Every writer adds entries of its own and the same common ones.
WRITER = """
import sys
from pathlib import Path
from operators.knowledge.shelf import Shelf
from tests.operators.knowledge.samples import made
shelf = Shelf(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
word = "abcdefghij"
for i in range(10):
    shelf.add([made(f"of {sys.argv[2]} {word[i]}"), made(f"common {word[i]}")])
"""


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "library")


def test_records_come_back_as_they_were(shelf):
    entries = [made("one \N{SNOWMAN}\n"), made("two", problem="rmsnorm", shapes={})]
    champions = [best("x = '\udc80'\n", 2.0)]
    assert shelf.add(entries, champions) == 3
    assert Shelf(shelf.directory).entries() == entries
    assert Shelf(shelf.directory).champions() == champions


def test_a_library_that_is_not_there_is_empty(shelf):
    assert shelf.entries() == []
    assert shelf.champions() == []
    assert not shelf.directory.exists()


def test_what_is_there_is_not_added_again(shelf):
    assert shelf.add([made("one"), made("one")], [best("x", 2.0)]) == 2
    assert shelf.add([made("one"), made("two")], [best("x", 3.0)]) == 1
    assert [e.technique for e in shelf.entries()] == ["one", "two"]
    assert len(shelf.champions()) == 1


def test_two_writers_at_once_lose_nothing_and_write_nothing_twice(shelf):
    command = [sys.executable, "-c", WRITER, str(shelf.directory)]
    pipe = subprocess.PIPE
    writers = [
        subprocess.Popen([*command, name], stdin=pipe, stdout=pipe, text=True) for name in "AB"
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.communicate("go\n", timeout=240)
        assert writer.returncode == 0
    lines = (shelf.directory / "entries.jsonl").read_text().splitlines()
    assert len(lines) == 30
    assert all(json.loads(line)["version"] == 1 for line in lines)
    techniques = [e.technique for e in shelf.entries()]
    assert len(set(techniques)) == len(techniques) == 30


def test_a_line_that_was_cut_off_costs_nothing_but_itself(shelf):
    shelf.add([made("one"), made("two")])
    path = shelf.directory / "entries.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    assert [e.technique for e in shelf.entries()] == ["one"]
    assert shelf.add([made("two"), made("three")]) == 2
    assert [e.technique for e in shelf.entries()] == ["one", "two", "three"]


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe",
        b"null",
        b"[" * 100_000,
        b'{"version": 2}',
        b'{"version": 1}',
        b'{"version": 1, "technique": 3}',
    ],
)
def test_lines_that_are_no_records_are_passed_over(shelf, line):
    shelf.add([made("one")], [best("x", 2.0)])
    for name in ("entries.jsonl", "champions.jsonl"):
        path = shelf.directory / name
        path.write_bytes(line + b"\n" + path.read_bytes())
    assert [e.technique for e in shelf.entries()] == ["one"]
    assert [c.source for c in shelf.champions()] == ["x"]


def test_odd_numbers_and_texts_are_no_entry(shelf):
    shelf.add([made("one")])
    path = shelf.directory / "entries.jsonl"
    value = json.loads(path.read_text())
    for change in (
        {"gain": {"value": 0.0, "low": 0.0, "high": 1.0}},
        {"gain": {"value": 1.3, "low": 1.4, "high": 1.5}},
        {"gains": {"small": float("nan")}},
        {"gains": {"small": True}},
        {"gains": []},
        {"setting": None},
        {"diff": None},
    ):
        path.write_text(json.dumps({**value, **change}) + "\n")
        assert shelf.entries() == [], change


def test_a_champion_whose_source_was_changed_is_passed_over(shelf):
    shelf.add(champions=[best("honest", 2.0)])
    path = shelf.directory / "champions.jsonl"
    path.write_text(path.read_text().replace("honest", "h0nest"))
    assert shelf.champions() == []


def test_a_copy_stays_as_it_was(shelf, tmp_path):
    shelf.add([made("one")], [best("x", 2.0)])
    copy = shelf.copy_to(tmp_path / "run" / "library")
    shelf.add([made("two")], [best("y", 2.0)])
    assert [e.technique for e in copy.entries()] == ["one"]
    assert [c.source for c in copy.champions()] == ["x"]
    assert Shelf(tmp_path / "none").copy_to(tmp_path / "empty").entries() == []


def test_a_place_that_cannot_be_written_is_a_store_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Shelf(tmp_path / "file").add([made("one")])
    (tmp_path / "dir" / "entries.jsonl").mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot be read"):
        Shelf(tmp_path / "dir").entries()


def test_records_are_what_they_say():
    assert isinstance(made("one"), Entry)
    assert isinstance(best("x", 2.0), Champion)
    assert made("B 1 -> 2", content="c").key != made("B 1 -> 2").key
