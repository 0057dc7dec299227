import json
import subprocess
import sys

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from populations.lineage import Lineage
from populations.parameters import skeleton
from tests.contracts.samples import kernel, lineage, quick


@pytest.fixture
def tree():
    """0 and 1 are seeds; 4 and 5 descend from 2 and 3; 6 and 7 cross 4 with 5; 8 stands alone."""
    return lineage(
        kernel(0),
        kernel(1),
        kernel(2, parents=(0,), operator="unroll"),
        kernel(3, value=None, parents=(0,), operator="unroll", note='a <b> & "c" \x00\x1b'),
        kernel(4, parents=(2,)),
        kernel(5, parents=(3,)),
        kernel(6, parents=(4, 5), operator="merge"),
        kernel(7, parents=(5, 4), operator="merge"),
        kernel(8, parents=(1,)),
    )


def test_ancestry(tree):
    assert tree.ancestors(6) == [0, 2, 3, 4, 5]
    assert tree.ancestors(0) == []
    assert tree.children(0) == [2, 3]
    assert tree.children(8) == []
    assert tree.path(6) == [0, 2, 4, 6]
    assert tree.path(7) == [0, 3, 5, 7]
    assert len(tree) == len(tree.kernels) == 9


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (2, 3, 0),
        (4, 5, 0),
        (4, 6, 4),  # a parent is its own nearest ancestor with its child
        (0, 0, 0),
        (6, 7, 5),  # 4 and 5 are equally near: the later one
        (6, 3, 3),
        (8, 6, None),
    ],
)
def test_common_ancestor(tree, a, b, expected):
    assert tree.common_ancestor(a, b) == expected
    assert tree.common_ancestor(b, a) == expected


def test_the_nearest_common_ancestor_is_not_reached_by_a_short_cut():
    # 4 was crossed with the seed, one step away; what 3 and 4 share beyond the seed is 2.
    shared = lineage(
        kernel(0),
        kernel(1, parents=(0,)),
        kernel(2, parents=(1,)),
        kernel(3, parents=(2, 0)),
        kernel(4, parents=(2, 0)),
    )
    assert shared.common_ancestor(3, 4) == 2


def test_questions_and_additions_alternate():
    growing = lineage(kernel(0))
    assert growing.children(0) == []
    growing.add(kernel(1, "A = 1  # tune: 1, 2\n", parents=(0,)))
    assert growing.children(0) == [1]
    digest = skeleton("A = 1  # tune: 1, 2\n")
    assert [k.number for k in growing.same_skeleton(digest)] == [1]
    growing.add(kernel(2, "A = 2  # tune: 1, 2\n", parents=(1,)))
    assert [k.number for k in growing.same_skeleton(digest)] == [1, 2]
    assert growing.same_skeleton("none") == []
    assert growing.ancestors(2) == [0, 1]


def test_kernels_are_found_by_digest(tree):
    assert tree.by_digest(tree.get(5).candidate.digest) is tree.get(5)
    assert tree.by_digest("none") is None
    tree.add(kernel(9, tree.get(5).source))
    assert tree.by_digest(tree.get(5).candidate.digest) is tree.get(5)


def test_a_taken_number_and_an_unknown_parent_are_refused(tree):
    with pytest.raises(ValueError, match="in the lineage already"):
        tree.add(kernel(3))
    with pytest.raises(ValueError, match=r"not in the lineage: \[9\]"):
        tree.add(kernel(10, parents=(2, 9)))
    assert len(tree) == 9
    for question in (tree.get, tree.path, tree.children, tree.ancestors):
        with pytest.raises(KeyError):
            question(77)
    with pytest.raises(TypeError):
        tree.kernels[0] = kernel(0)


def test_graphml_loads_back(tree, tmp_path):
    tree.write_graphml(tmp_path / "lineage.graphml")
    graph = nx.read_graphml(tmp_path / "lineage.graphml", node_type=int)
    assert sorted(graph.nodes) == list(range(9))
    assert graph.nodes[3]["outcome"] == "wrong_values"
    assert graph.nodes[3]["note"] == 'a <b> & "c" ��'
    assert "speedup" not in graph.nodes[3]
    assert graph.nodes[2]["speedup"] == 1.0
    assert graph.nodes[2]["speedup_low"] == 0.98
    assert graph.nodes[2]["digest"] == tree.get(2).candidate.digest
    assert graph.nodes[2]["skeleton"] == skeleton(tree.get(2).source)
    assert graph.edges[4, 6] == {"operator": "merge", "place": 0}
    assert graph.edges[5, 6] == {"operator": "merge", "place": 1}
    assert graph.edges[0, 2]["operator"] == "unroll"


def test_json_loads_back(tree, tmp_path):
    tree.write_json(tmp_path / "lineage.json")
    data = json.loads((tmp_path / "lineage.json").read_text())
    graph = nx.node_link_graph(data, edges="edges")
    assert nx.utils.graphs_equal(graph, tree.graph())
    assert graph.nodes[3]["note"] == 'a <b> & "c" \x00\x1b'


def test_exporting_leaves_the_lineage_as_it_is(tree, tmp_path):
    tree.graph().add_edge(8, 99)
    tree.write_graphml(tmp_path / "lineage.graphml")
    assert tree.children(8) == []
    assert tree.graph().nodes[3]["note"] == 'a <b> & "c" \x00\x1b'


@st.composite
def ancestries(draw):
    """Parents of each kernel, by number."""
    count = draw(st.integers(2, 12))
    return [
        tuple(draw(st.lists(st.integers(0, n - 1), max_size=2, unique=True))) if n else ()
        for n in range(count)
    ]


@quick
@given(ancestries())
def test_no_common_ancestor_is_nearer(parents):
    grown = lineage(*(kernel(n, parents=each) for n, each in enumerate(parents)))
    a, b = len(parents) - 1, len(parents) - 2
    common = {a, *grown.ancestors(a)} & {b, *grown.ancestors(b)}
    found = grown.common_ancestor(a, b)
    assert (found is None) == (not common)
    assert not any(found in grown.ancestors(other) for other in common)


def test_opening_a_lineage_imports_nothing_heavy():
    code = (
        "import sys, populations.lineage, populations.store, populations.parameters\n"
        "import populations.fitness, populations.selection, populations.archive\n"
        "import operators.merge, operators.tuning, operators.credit\n"
        "populations.lineage.Lineage()\n"
        "print([m for m in ('networkx', 'numpy', 'sqlalchemy', 'optuna') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_an_empty_lineage_can_be_exported(tmp_path):
    Lineage().write_graphml(tmp_path / "empty.graphml")
    assert len(nx.read_graphml(tmp_path / "empty.graphml")) == 0


def test_a_better_estimate_takes_the_place_of_the_first(tree):
    before = list(tree.kernels)
    better = kernel(2, value=9.0, parents=(0,), operator="unroll")
    tree.remeasured(better)
    assert tree.get(2) is better
    assert list(tree.kernels) == before
    assert tree.graph().nodes[2]["speedup"] == 9.0
    with pytest.raises(KeyError):
        tree.remeasured(kernel(99))
    with pytest.raises(ValueError, match="another one"):
        tree.remeasured(kernel(2, source="something else", parents=(0,)))


def test_a_long_lineage_answers_at_once_without_networkx():
    code = (
        "import sys; from tests.contracts.samples import kernel; "
        "from populations.lineage import Lineage; found = Lineage(); "
        "[found.add(kernel(n, parents=tuple({max(n - 1, 0), n // 2}) if n else ())) "
        "for n in range(2000)]; "
        "assert found.ancestors(1999) == list(range(1999)); assert found.children(3) == [4, 6, 7]; "
        "assert 'networkx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
