"""What is shown of much that a candidate's process printed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness.diagnostics.printed import excerpt

REASON = "kernel.py:114:0: error: operand #0 must be a tile of floats, but got a pointer"


def test_little_is_shown_as_it_is():
    assert excerpt("one\ntwo", 7) == "one\ntwo"


@pytest.mark.parametrize("before", [0, 400])
def test_the_line_that_tells_why_is_shown_though_much_follows(before):
    module = [f"  %{n} = tt.load %{n - 1} : tensor<128x!tt.ptr<f16>>" for n in range(400)]
    passes = "pipeline: " + ", ".join(f"pass-{n}" for n in range(500))
    text = "\n".join([*module[:before], REASON, *module, passes, "the end"])
    found = excerpt(text, 2000)
    assert found.startswith(REASON)
    assert found.endswith("the end")
    assert "pass-250" not in found
    assert found.count(REASON) == 1
    assert len(found) < 2100


def test_without_such_a_line_the_end_is_shown():
    text = "\n".join(str(n) for n in range(5000))
    found = excerpt(text, 500)
    assert found.startswith("[...]")
    assert found.endswith("4998\n4999")
    assert len(found) <= 510


def test_one_line_without_end_is_cut_in_its_middle():
    assert excerpt("a" * 10_000 + "z", 2000) == f"{'a' * 146} [...] {'a' * 145}z"


@given(st.text(), st.integers(10, 400))
def test_no_text_becomes_longer_than_asked_for(text, limit):
    found = excerpt(text, limit)
    assert len(found) <= limit + len("[...]\n")
    if len(text) <= limit:
        assert found == text
