"""The drawing for Graphviz, read by Graphviz itself."""

import html
import json
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from populations.dot import dot, quoted
from tests.contracts.samples import kernel, lineage

ODD = 'a "quoted" \\N\\n \\ <b>&amp; \x00\x1b\ud800 } ; -> \n end\\'


@pytest.fixture
def tree():
    return lineage(
        kernel(0, note=ODD),
        kernel(1, value=2.0, parents=(0,), operator="tile"),
        kernel(2, value=None, parents=(0,), operator="edit"),
        kernel(3, value=3.0, parents=(1, 2), operator="merge"),
    )


def drawn(text, form="json0"):
    done = subprocess.run(
        ["dot", f"-T{form}"], input=text.encode(), capture_output=True, check=True, timeout=60
    )
    assert done.stderr == b""
    return done.stdout.decode()


@pytest.mark.graphviz
def test_graphviz_reads_the_same_graph(tree):
    read = json.loads(drawn(dot(tree, path=[0, 1, 3])))
    nodes = {node["_gvid"]: node for node in read["objects"]}
    assert sorted(int(node["name"]) for node in nodes.values()) == [0, 1, 2, 3]
    edges = {
        (int(nodes[e["tail"]]["name"]), int(nodes[e["head"]]["name"])): e for e in read["edges"]
    }
    assert set(edges) == set(tree.graph().edges)
    by_name = {int(node["name"]): node for node in nodes.values()}
    assert by_name[1]["label"] == "#1 tile\n2x"
    assert by_name[2]["label"] == "#2 edit\nwrong values"
    assert {n for n, node in by_name.items() if node.get("penwidth") == "3"} == {0, 1, 3}
    assert {pair for pair, e in edges.items() if e.get("penwidth") == "3"} == {(0, 1), (1, 3)}
    assert [pair for pair, e in edges.items() if e.get("style") == "dotted"] == [(2, 3)]
    assert by_name[2]["style"] == "rounded,dashed"


@pytest.mark.graphviz
def test_a_note_is_shown_as_it_is(tree):
    image = drawn(dot(tree), "svg")
    shown = html.unescape(image.replace("&#160;", " "))
    assert 'a "quoted" \\N\\n \\ <b>&amp;' in shown.replace("\N{REVERSE SOLIDUS OPERATOR}", "\\")
    assert "} ; ->" in shown


@settings(max_examples=200)
@given(st.text())
def test_nothing_ends_a_quoted_text_but_its_end(text):
    inner = quoted(text)[1:-1]
    assert not set(inner) & {'"', "\\"}
    inner.encode()
    if text.isascii() and text.isprintable():
        assert html.unescape(inner).replace("\N{REVERSE SOLIDUS OPERATOR}", "\\") == text


def test_an_empty_lineage_is_a_graph():
    assert dot(lineage()).endswith("}\n")
