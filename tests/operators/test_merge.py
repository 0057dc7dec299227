import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from operators.merge import ThreeWayMerge, merge
from operators.operator import Inapplicable, Situation, Variation
from populations.parameters import values
from tests.contracts.samples import kernel, lineage, quick

BASE = """\
TILE = 32  # tune: 16, 32, 64
def f(x):
    a = load(x, mask)
    b = a * 2
    c = b + 1
    d = c - 1
    return d
"""


def vary(best, other, base=BASE):
    kernels = lineage(
        kernel(0, base), kernel(1, best, parents=(0,)), kernel(2, other, parents=(0,))
    )
    situation = Situation(lineage=kernels, rng=random.Random(0), device="cpu")
    return ThreeWayMerge().vary([kernels.get(1), kernels.get(2)], situation)


def test_edits_far_apart_are_joined():
    a = BASE.replace("load(x, mask)", "load(x, mask, hint)")
    b = BASE.replace("return d", "return d + 0")
    assert vary(a, b) == Variation(
        source=a.replace("return d", "return d + 0"), note="merged 1 and 2 over 0"
    )


def test_edits_of_one_line_are_joined_token_by_token():
    a = BASE.replace("load(x, mask)", "fast_load(x, mask)")
    b = BASE.replace("load(x, mask)", "load(x, mask, other=0)")
    assert vary(a, b).source == BASE.replace("load(x, mask)", "fast_load(x, mask, other=0)")


def test_neighbouring_lines_are_no_conflict():
    a = BASE.replace("b = a * 2", "b = a + a")
    b = BASE.replace("c = b + 1", "c = b + 2")
    assert vary(a, b).source == a.replace("c = b + 1", "c = b + 2")


def test_one_token_changed_twice_is_a_conflict():
    a, b = BASE.replace("* 2", "* 3"), BASE.replace("* 2", "* 4")
    assert vary(a, b) == Inapplicable("both parents changed the same text")


def test_the_better_parent_s_launch_parameters_stand():
    a = BASE.replace("TILE = 32", "TILE = 64").replace("return d", "return d + 0")
    b = BASE.replace("TILE = 32", "TILE = 16").replace("* 2", "* 3")
    child = vary(a, b).source
    assert values(child) == {"TILE": 64}
    assert "* 3" in child
    assert "d + 0" in child
    assert values(vary(b, a).source) == {"TILE": 16}


def test_a_merge_that_is_a_parent_is_no_child():
    edited = BASE.replace("* 2", "* 3")
    retuned = edited.replace("TILE = 32", "TILE = 64")
    for a, b in [(edited, edited), (edited, retuned), (retuned, BASE + "# tail\n")][:2]:
        assert vary(a, b) == Inapplicable("the merge is one of the parents up to launch parameters")
    only_retuned = BASE.replace("TILE = 32", "TILE = 64")
    assert isinstance(vary(edited, only_retuned), Inapplicable)


def test_a_merge_that_does_not_parse_is_no_child():
    a, b = BASE.replace("b = a * 2", "b = (a * 2"), BASE.replace("return d", "return d + 0")
    assert vary(a, b) == Inapplicable("the merge does not parse")


def test_parents_that_cannot_be_merged():
    kernels = lineage(
        kernel(0, BASE),
        kernel(1, BASE + "# 1\n", parents=(0,)),
        kernel(2, BASE + "# 2\n", parents=(1,)),
        kernel(3, "alone"),
        kernel(4, BASE + "# 4\n", parents=(0,), language="cpp"),
    )
    situation = Situation(lineage=kernels, rng=random.Random(0), device="cpu")

    def reason(a, b):
        answer = ThreeWayMerge().vary([a, b], situation)
        assert isinstance(answer, Inapplicable)
        return answer.reason

    assert reason(kernels.get(1), kernels.get(2)) == "one parent descends from the other"
    assert reason(kernels.get(2), kernels.get(2)) == "one parent descends from the other"
    assert reason(kernels.get(1), kernels.get(3)) == "the parents have no ancestor in common"
    assert (
        reason(kernels.get(1), kernels.get(4)) == "the parents are written in different languages"
    )
    assert reason(kernels.get(1), kernel(9)) == "a parent is not in the lineage"


def test_a_huge_hunk_is_a_conflict_rather_than_a_long_wait():
    assert merge("a b " * 2000, "a c " * 2000, "a d " * 2000) is None


words = st.lists(
    st.sampled_from(["x", "y", "=", "1", "(", " ", "  ", "\t", "a_b", "\n"]), max_size=30
)
texts = st.one_of(words.map("".join), st.text(max_size=40))


@st.composite
def edited(draw, lines):
    """`lines` with some deleted, changed or followed by a new one."""
    result = []
    for line in lines:
        edit = draw(st.sampled_from(["keep", "keep", "keep", "delete", "change", "insert"]))
        if edit != "delete":
            result.append(
                draw(st.sampled_from(["p", "q", line + " r"])) if edit == "change" else line
            )
        if edit == "insert":
            result.append(draw(st.sampled_from(["n", "m m"])))
    return result


@st.composite
def families(draw):
    lines = [f"line {n} of base" for n in range(draw(st.integers(0, 8)))]
    parts = [draw(edited(lines)), draw(edited(lines)), lines]
    return tuple("".join(f"{line}\n" for line in part) for part in parts)


@quick
@given(a=texts, base=texts)
def test_one_sided_changes_are_taken_whole(a, base):
    assert merge(a, base, base) == a
    assert merge(base, a, base) == a
    assert merge(a, a, base) == a


@quick
@given(st.one_of(families(), st.tuples(texts, texts, texts)))
def test_sides_are_equal(family):
    a, b, base = family
    assert merge(a, b, base) == merge(b, a, base)


@quick
@given(families())
def test_a_merge_has_nothing_that_neither_parent_has(family):
    a, b, base = family
    merged = merge(a, b, base)
    assume(merged is not None)
    assert set(merged.split()) <= set(a.split()) | set(b.split())


@quick
@given(data=st.data())
def test_edits_in_different_parts_never_conflict(data):
    first = [f"first {n}" for n in range(data.draw(st.integers(0, 5)))]
    second = [f"second {n}" for n in range(data.draw(st.integers(0, 5)))]
    fence = ["fence one", "fence two"]
    one, two = data.draw(edited(first)), data.draw(edited(second))

    def text(*parts):
        return "".join(f"{line}\n" for part in parts for line in part)

    merged = merge(text(one, fence, second), text(first, fence, two), text(first, fence, second))
    assert merged == text(one, fence, two)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_line_endings_survive(ending):
    base = BASE.replace("\n", ending)
    a, b = base.replace("* 2", "* 3"), base.replace("d + 1", "d").replace("return d", "return +d")
    assert merge(a, b, base) == a.replace("return d", "return +d")
