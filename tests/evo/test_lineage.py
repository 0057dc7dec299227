"""`evo lineage`: its text, word for word, its files, and runs that have not come far."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import networkx as nx
import pytest

from evo import lineage as command
from evo.ancestry import path
from evo.tables import text_table
from populations.call import Answer, Call, Finish, Message
from populations.outcome import Timing
from populations.rows import Proposal, Rejection
from tests.contracts.samples import kernel, lineage, passed, speedup
from tests.evo.toy import create

NOTES = "# From the notes\n\n```text\nMemory\n\nMuch.\n```\n"

PATH = """\
toy: 6 evaluations, 4 passed; 8 proposals
champion #5: 8.10x [8.00, 8.20]

kernel             speedup                gain  operator  what was done
------  ------------------  ------------------  --------  ------------------------------
#0      1.00x [0.98, 1.02]                   -  seed      seeds/toy.py
#1      2.00x [1.96, 2.04]  2.00x [1.94, 2.06]  tile      BLOCK 64
#3            wrong values                   -  rewrite   another order
#5      8.00x [7.84, 8.16]  4.00x [3.89, 4.11]  merge     the best of both, [… (with #1)
"""

ANALYSIS = """\

First correct kernel and each new best
new best             speedup  evaluations  device time  wall time  operator
--------  ------------------  -----------  -----------  ---------  --------
#0        1.00x [0.98, 1.02]            1         0:00       0:00  seed
#1        2.00x [1.96, 2.04]            2         0:00       0:00  tile
#5        8.00x [7.84, 8.16]            6         0:00       0:00  merge

What each operator contributed
operator  proposed  judged  passed  improved  device s  dollars  steps   gain  share  advances
--------  --------  ------  ------  --------  --------  -------  -----  -----  -----  --------
tile             2       2       2         1       0.0     0.00      1  2.00x    33%     3.17x
rewrite          3       2       0         0       0.0     0.75      1  2.00x    33%     1.59x
merge            1       1       1         1       0.0     0.00      1  2.00x    33%     1.59x
seed             1       1       1         0       0.0     0.00      1  1.00x     0%         -

What each model contributed
model     proposed  judged  passed  improved  device s  dollars  steps   gain  share  advances
--------  --------  ------  ------  --------  --------  -------  -----  -----  -----  --------
no model         4       4       4         2       0.0     0.00      3  4.00x    67%     5.04x
m                3       2       0         0       0.0     0.75      1  2.00x    33%     1.59x

What knowledge entries stood behind
knowledge     proposed  judged  passed  improved  device s  dollars  steps   gain  share  advances
------------  --------  ------  ------  --------  --------  -------  -----  -----  -----  --------
no knowledge         5       5       4         2       0.0     0.25      3  4.00x    67%     5.04x
Memory               2       1       0         0       0.0     0.50      1  2.00x    33%     1.59x

What each island contributed
island     proposed  judged  passed  improved  device s  dollars  steps   gain  share  advances
---------  --------  ------  ------  --------  --------  -------  -----  -----  -----  --------
1                 2       2       1         1       0.0     0.25      2  4.00x    67%     5.04x
no island         3       2       2         1       0.0     0.25      2  2.00x    33%     1.59x
0                 2       2       1         0       0.0     0.25      0      -      -         -

Variety
kernels   judged  passed  skeletons  new  evenness of operators
--------  ------  ------  ---------  ---  ---------------------
#0 to #5       6       4          6    6                   0.96
on the path: 3 steps, 3 operators, evenness 1.00

Dead ends: no descendant was surely better
dead end              result  descendants  passed  operator  what was done
--------  ------------------  -----------  ------  --------  -------------
#2        0.50x [0.49, 0.51]            1       0  tile
"""


@pytest.fixture
def store(tmp_path):
    with create(tmp_path / "run") as made:
        yield made


def keep(store, made):
    store.add_candidate(made.candidate)
    store.add_evaluation(made.number, made.evaluation)


def ask(store, number, parents, text):
    store.add_proposal(Proposal(number, "rewrite", parents, "m"))
    answer = Answer("text", Finish.COMPLETE, "m", tokens_in=10, tokens_out=5, cost_usd=0.25)
    store.add_call(Call(number, 0, "rewrite", (Message("user", text),), answer))


@pytest.fixture
def run(store, monkeypatch):
    """A run of every kind of thing, all at one moment."""
    monkeypatch.setattr("populations.store.time", SimpleNamespace(time=lambda: 1.7e9))
    store.set_meta("name", "toy")
    keep(store, kernel(0, note="seeds/toy.py"))
    keep(store, kernel(1, value=2.0, parents=(0,), operator="tile", note="BLOCK 64"))
    keep(store, kernel(2, value=0.5, parents=(0,), operator="tile"))
    ask(store, 3, (1,), NOTES)
    keep(store, kernel(3, value=None, parents=(1,), operator="rewrite", note="another  order"))
    ask(store, 4, (2,), "?")
    keep(store, kernel(4, value=None, parents=(2,), operator="rewrite"))
    note = "the best of both, \x1b[31m" + "very " * 40
    keep(store, kernel(5, value=8.0, parents=(3, 1), operator="merge", note=note))
    ask(store, 6, (1,), NOTES)
    store.add_rejection(Rejection(6, "unreadable", "no code"))
    store.add_event("settled", {"number": 0, "islands": [0, 1]})
    for number, island in ((1, 1), (2, 0), (3, 1), (4, 0)):
        store.add_event("settled", {"number": number, "islands": [island]})
    store.set_meta("reason", "8 proposals")
    store.set_meta("final", {"champion": 5, "speedup": [8.1, 8.0, 8.2], "rows": []})
    return store.directory


def said(capsys, *words):
    status = command.main(list(map(str, words)))
    out, err = capsys.readouterr()
    return status, out, err


def test_the_path(run, capsys, monkeypatch):
    monkeypatch.setattr("evo.ancestry._NOTE", 20)
    assert said(capsys, run) == (0, PATH, "")


def test_the_analysis(run, capsys, monkeypatch):
    monkeypatch.setattr("evo.ancestry._NOTE", 20)
    status, out, err = said(capsys, run, "--analysis")
    assert (status, err) == (0, "")
    assert out == PATH + ANALYSIS


def test_the_path_to_another_kernel(run, capsys):
    status, out, _ = said(capsys, run, "--kernel", 4)
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[5:]] == ["#0", "#2", "#4"]


def test_common_ancestors(run, capsys):
    status, out, _ = said(capsys, run, "--common", 5, 4)
    assert status == 0
    assert out.splitlines()[3:] == [
        "common ancestor             speedup          gain of #5  gain of #4  operator",
        "---------------  ------------------  ------------------  ----------  --------",
        "#0               1.00x [0.98, 1.02]  8.00x [7.78, 8.23]           -  seed",
    ]


def test_two_seeds_have_nothing_in_common(store, capsys):
    keep(store, kernel(0))
    keep(store, kernel(1))
    assert (
        "#0 and #1 have no ancestor in common" in said(capsys, store.directory, "--common", 0, 1)[1]
    )


def test_the_files_hold_the_same_graph(run, store, tmp_path, capsys):
    files = {form: tmp_path / f"it.{form}" for form in ("graphml", "json", "dot")}
    words = [word for form, file in files.items() for word in (f"--{form}", file)]
    assert said(capsys, run, *words)[0] == 0
    graph = store.lineage().graph()
    data = json.loads(files["json"].read_text())
    assert nx.utils.graphs_equal(nx.node_link_graph(data, edges="edges"), graph)
    read = nx.read_graphml(files["graphml"], node_type=int)
    for _, attributes in graph.nodes(data=True):
        attributes["note"] = attributes["note"].replace("\x1b", "\N{REPLACEMENT CHARACTER}")
    assert dict(read.nodes(data=True)) == dict(graph.nodes(data=True))
    assert {(a, b): d for a, b, d in read.edges(data=True)} == {
        (a, b): d for a, b, d in graph.edges(data=True)
    }
    assert files["dot"].read_text().count(" -> ") == graph.number_of_edges()


@pytest.mark.parametrize("value", [None, 1.0], ids=["nothing passed", "a seed alone"])
def test_a_run_that_has_only_begun(store, capsys, value):
    keep(store, kernel(0, value=value))
    store.add_candidate(kernel(1, parents=(0,), operator="tile").candidate)
    status, out, err = said(capsys, store.directory, "--analysis")
    assert (status, err) == (0, "")
    assert "1 evaluation, " in out
    assert "still running" in out
    expected = "no kernel passed" if value is None else "(provisional: not judged again yet)"
    assert expected in out.splitlines()[1]


def test_an_empty_run(store, capsys):
    status, out, err = said(capsys, store.directory, "--analysis")
    assert (status, err) == (0, "")
    assert "0 evaluations, 0 passed" in out


def test_finalists_that_all_fell_leave_no_champion(store, capsys):
    keep(store, kernel(0))
    store.set_meta("final", {"champion": None, "rows": []})
    assert "there is no champion" in said(capsys, store.directory, "--analysis")[1]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--kernel", "9"), "no kernel #9 has been judged"),
        (("--common", "0", "9"), "no kernel #9 has been judged"),
        (("--dot", "missing/it.dot"), "cannot be written"),
        (("--graphml", "missing/it.graphml"), "cannot be written"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run, capsys, monkeypatch, words, complaint):
    monkeypatch.chdir(run)
    status, _, err = said(capsys, run, *words)
    assert status == 2
    assert complaint in err
    assert err.count("\n") == 1


def test_there_must_be_a_run(tmp_path, capsys):
    status, out, err = said(capsys, tmp_path)
    assert (status, out) == (2, "")
    assert "there is no run at" in err


def test_gains_stand_per_workload_where_there_are_several(capsys):
    def timed(*values):
        timings = tuple(
            Timing(name, "eager", 1.0, v, speedup(v), (0.0,))
            for name, v in zip(("small", "large"), values, strict=True)
        )
        return replace(passed(values[0]), timings=timings)

    both = lineage(
        kernel(0, evaluation=timed(1.0, 1.0)),
        kernel(1, evaluation=timed(2.0, 4.0), parents=(0,), operator="tile"),
    )
    assert path(both, 1).splitlines()[-3:] == [
        "gain on               small               large",
        "-------  ------------------  ------------------",
        "#1       2.00x [1.94, 2.06]  4.00x [3.89, 4.11]",
    ]


def test_columns_go_where_they_are_told():
    assert text_table(("a", "b", "c"), [("1", "long", "x")], left=(2,)) == (
        "a     b  c\n-  ----  -\n1  long  x"
    )


def test_the_command_is_known(run):
    done = subprocess.run(
        [sys.executable, "-m", "evo", "lineage", str(run)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("toy: 6 evaluations")


def test_the_report_says_what_brought_the_champion(run, store):
    from evo.report.ancestry import what_brought_it
    from populations.analysis.history import read_history

    text = re.sub("<[^>]*>", " ", what_brought_it(read_history(store)))
    words = " ".join(text.split())
    assert "operator judged improved steps gain share advances tile 2 1 1 2.00x 33% 3.17x" in words
    assert "knowledge judged improved" in words
    assert "1 kernel had descendants and none that was surely better" in words
    store.set_meta("final", {"champion": None})
    assert "There is no champion." in what_brought_it(read_history(store))


def test_a_reader_that_has_seen_enough_ends_it_quietly(run):
    command = f"{sys.executable} -m evo lineage {run} --analysis | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout in ("141\n", "0\n")
