import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from populations import queries
from populations.errors import StoreError
from populations.kernel import Candidate
from populations.lineage import Lineage
from populations.outcome import Outcome
from populations.queries import Entry
from populations.store import Store
from tests.contracts.samples import failed, kernel, passed, quick

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path, experiment="", fingerprint="") as made:
        yield made


def keep(store, *kernels):
    for each in kernels:
        store.add_candidate(each.candidate)
        store.add_evaluation(each.number, each.evaluation)


def test_what_is_listed(store):
    keep(store, kernel(0, value=2.0), kernel(1, value=None, parents=(0,), operator="merge"))
    store.add_candidate(Candidate(2, "not judged", "cpp"))
    first, second = store.queries.entries()
    assert first == Entry(0, "seed", Outcome.PASSED, 2.0, 2.0 * 0.98, 2.0 * 1.02)
    assert second == Entry(1, "merge", Outcome.WRONG_VALUES, None, None, None)
    assert type(second.outcome) is Outcome
    assert store.queries.entries(behind=0) == [second]
    assert store.queries.entries(behind=1) == []


def test_the_best_have_the_highest_lower_ends(store):
    lucky = kernel(3, value=5.0, spread=0.9)
    keep(store, kernel(0, value=1.0), kernel(1, value=3.0), kernel(2, value=None), lucky)
    keep(store, kernel(4, value=3.0), kernel(5, value=2.0))
    assert [entry.number for entry in store.queries.best(3)] == [1, 4, 5]
    assert [entry.number for entry in store.queries.best(99)] == [1, 4, 5, 0, 3]
    assert store.queries.best(0) == []


def test_a_closed_store_is_an_error_of_ours(tmp_path):
    store = Store.create(tmp_path, experiment="", fingerprint="")
    questions = store.queries
    store.close()
    with pytest.raises(StoreError):
        questions.entries()


parents = st.lists(st.integers(0, 10**6), max_size=3)


@quick
@given(drawn=st.lists(parents, min_size=1, max_size=25))
def test_ancestry_is_that_of_the_lineage(tmp_path_factory, drawn):
    lineage = Lineage()
    with Store.create(tmp_path_factory.mktemp("run"), experiment="", fingerprint="") as store:
        for number, of in enumerate(drawn):
            # Two parents may be the same one.
            each = kernel(number, parents=tuple(p % number for p in of) if number else ())
            lineage.add(each)
            keep(store, each)
        for number in lineage.kernels:
            assert store.queries.ancestors(number) == lineage.ancestors(number)
            assert store.queries.children(number) == lineage.children(number)
            below = [n for n in lineage.kernels if number in lineage.ancestors(n)]
            assert store.queries.descendants(number) == below
        assert store.lineage().kernels == lineage.kernels


@pytest.mark.parametrize(
    "statement",
    [queries._LISTED, queries._CHILDREN, queries._ANCESTORS, queries._DESCENDANTS],
)
def test_no_question_looks_through_a_table_with_sources_or_details(store, statement):
    plan = store._connection.execute(f"EXPLAIN QUERY PLAN {statement}", (1,)).fetchall()
    lines = [row[3] for row in plan]
    looked = [line for line in lines if line.startswith(("SCAN", "SEARCH"))]
    assert looked
    for line in looked:
        assert "COVERING INDEX" in line or "edges USING PRIMARY KEY" in line or " found" in line


def test_the_best_are_found_without_sorting_all(store):
    plan = store._connection.execute(f"EXPLAIN QUERY PLAN {queries._BEST}", (1,)).fetchall()
    assert "ix_evaluations_best" in plan[0][3]
    assert not [row for row in plan if row[3] == "USE TEMP B-TREE FOR ORDER BY"]


READER = """
import sys
from pathlib import Path
from populations.store import Store
from tests.contracts.samples import failed, passed

def expected(number):
    return passed(1 + number) if number % 3 else failed()

directory, last = Path(sys.argv[1]), int(sys.argv[2])
seen, looks = 0, 0
print("reading", flush=True)
while seen <= last:
    with Store.open(directory, read_only=True) as store:
        for _ in range(5):
            evaluations = store.evaluations()
            assert evaluations == {n: expected(n) for n in evaluations}, "half an evaluation"
            assert len(evaluations) >= seen, "something went away"
            seen = len(evaluations)
            for kernel in store.kernels():
                number = kernel.number
                assert kernel.candidate.parents == tuple(range(max(0, number - 2), number))
            entries = store.queries.entries()
            assert [e.number for e in entries] == list(range(len(entries)))
            assert [e.low for e in entries if e.passed] == [
                passed(1 + e.number).speedup.low for e in entries if e.number % 3
            ]
            looks += 1
print(looks, flush=True)
"""


def test_another_process_reads_all_the_while_and_sees_whole_outcomes(store, tmp_path):
    last, slowest_s = 300, 0.0
    command = [sys.executable, "-c", READER, str(tmp_path), str(last)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as reader:
        assert reader.stdout.readline() == b"reading\n"
        for number in range(last + 1):
            begun = time.monotonic()
            of = tuple(range(max(0, number - 2), number))
            store.add_candidate(Candidate(number, f"x = {number}" * 500, "cpp", "merge", of))
            store.add_evaluation(number, passed(1 + number) if number % 3 else failed())
            slowest_s = max(slowest_s, time.monotonic() - begun)
            # It has time to look in between.
            time.sleep(0.002)
        out, err = reader.communicate()
    assert not err.decode()
    assert reader.returncode == 0
    assert int(out) >= 5
    # Nobody waited for a lock: that would be given up after five seconds.
    assert slowest_s < 4
