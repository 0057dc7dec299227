import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.dialogue import Reason
from operators.llm.blocks import Edit, Miss, apply, edits
from operators.llm.parse import Module, Unusable, read_edit
from tests.contracts.samples import quick
from tests.operators.llm.dialogues import block

SOURCE = """\
class ModelNew:
    def forward(self, x):
        total = 0
        for i in range( 10 ):
            total += i

            x = x + 1
        return x


    def other(self, x):
        return x
"""


def edited(search: str, new: str, source: str = SOURCE) -> str:
    found = edits(block(search, new))
    assert isinstance(found, list)
    changed = apply(source, found)
    assert isinstance(changed, str), changed
    return changed


def missed(search: str, new: str = "pass") -> Miss:
    found = edits(block(search, new))
    assert isinstance(found, list)
    (miss,) = apply(SOURCE, found)
    assert isinstance(miss, Miss)
    return miss


@pytest.mark.parametrize(
    "search",
    [
        "            total += i",
        "            total += i   ",
        "total += i",
        "  total  +=  i",
        "\n            total += i\n",
        "                total += i",
    ],
)
def test_blanks_do_not_matter(search):
    changed = [line for line in edited(search, search.replace("i", "j")).split("\n") if line]
    wanted = [line for line in SOURCE.replace("total += i", "total += j").split("\n") if line]
    assert ["".join(line.split()) for line in changed] == ["".join(line.split()) for line in wanted]
    assert [line[:12] for line in changed] == [line[:12] for line in wanted]


def test_the_replacement_takes_over_the_indent_that_the_model_left_out():
    search = "for i in range(10):\n    total += i\n    x = x + 1"
    new = "for i in range(5):\n    total += 2 * i\n    x = x + 2"
    assert edited(search, new) == SOURCE.replace(
        "        for i in range( 10 ):\n            total += i\n\n            x = x + 1\n",
        "        for i in range(5):\n            total += 2 * i\n            x = x + 2\n",
    )


def test_an_indent_too_many_is_taken_off():
    changed = edited(" " * 16 + "total += i", " " * 16 + "total += 1\n" + " " * 16 + "total += 2")
    assert "            total += 1\n            total += 2\n\n" in changed


def test_an_exact_match_is_taken_before_a_lenient_one():
    source = "class ModelNew:\n    a = 1\nif 1:\n        a = 1\n"
    assert edited("    a = 1", "    a = 2", source) == source.replace(
        "    a = 1\nif", "    a = 2\nif"
    )


def test_a_piece_of_one_line_is_found():
    assert edited("range( 10 )", "range(n)") == SOURCE.replace("range( 10 )", "range(n)")


def test_lines_are_deleted_and_put_in():
    assert "total += i" not in edited("            total += i", "")
    assert edited("        total = 0", "        total = 0\n        n = 3") == SOURCE.replace(
        "total = 0\n", "total = 0\n        n = 3\n"
    )


def test_blocks_build_on_each_other():
    found = edits(block("total = 0", "count = 0") + "and\n" + block("count = 0", "count = 1"))
    assert isinstance(found, list)
    changed = apply(SOURCE, found)
    assert isinstance(changed, str)
    assert "count = 1" in changed


def test_what_is_found_twice_or_never_is_missed_and_said():
    assert "found 2 times" in missed("return x").problem
    assert "not in the kernel" in missed("return y").problem
    assert "empty" in missed("\n").problem
    near = missed("total = 0\nfor i in range(99):")
    assert near.nearest[0].strip() == "total = 0"
    assert "most like it" in str(near)


def test_nothing_is_changed_when_one_block_is_missed():
    found = edits(block("total = 0", "total = 1") + block("nowhere", ""))
    assert isinstance(found, list)
    misses = apply(SOURCE, found)
    assert isinstance(misses, list)
    assert [miss.number for miss in misses] == [2]


@pytest.mark.parametrize(
    "text",
    [
        "<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE",
        "<<<<<<<SEARCH\na\n======\nb\n>>>>>>>\n",
        "```python\n  <<<<<< SEARCH:  \na\n  =======\nb\n  >>>>>>> replace\n```\n",
        "<<<<<<< SEARCH\n```python\na\n```\n=======\n```python\nb\n```\n>>>>>>> REPLACE",
    ],
)
def test_marks_are_recognised(text):
    assert edits(text) == [Edit(("a",), ("b",))]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<<<<<<< SEARCH\na\n", "'======='"),
        ("<<<<<<< SEARCH\na\n=======\nb\n", "'>>>>>>> REPLACE'"),
    ],
)
def test_an_unfinished_block_is_missed(text, problem):
    found = edits(block("x", "y") + text)
    assert isinstance(found, Miss)
    assert found.number == 2
    assert problem in found.problem


def test_an_answer_with_blocks_makes_a_module():
    answer = "Rationale: fewer turns\n\n" + block("range( 10 )", "range( 9 )")
    assert read_edit(answer, SOURCE, 3) == Module(SOURCE.replace("10", "9"), "fewer turns")


def test_a_whole_module_is_an_answer_too():
    answer = f"```python\n{SOURCE.replace('10', '9')}```"
    assert read_edit(answer, SOURCE, 3) == Module(SOURCE.replace("10", "9"), "")


def test_a_miss_is_told_with_its_place_in_a_fence():
    found = read_edit(block("total = 0\nfor k in range(10):", "x"), SOURCE, 3)
    assert isinstance(found, Unusable)
    assert found.reason is Reason.INAPPLICABLE_EDIT
    assert "kernel 3" in found.reply
    assert "        total = 0\n        for i in range( 10 ):" in found.reply


def test_an_edit_that_breaks_the_module_is_unreadable():
    found = read_edit(block("total += i", "total += ("), SOURCE, 3)
    assert isinstance(found, Unusable)
    assert found.reason is Reason.UNREADABLE
    assert "after the edit the module does not parse" in found.text


LINES = st.lists(st.sampled_from(["", "a", " a", "b ", "    a = 1", "=======", "é"]), max_size=12)


@quick
@given(LINES, LINES, LINES)
def test_any_edit_applies_or_is_missed(source, search, new):
    text = "\n".join(source)
    changed = apply(text, [Edit(tuple(search), tuple(new))])
    if isinstance(changed, list):
        (miss,) = changed
        assert str(miss).startswith("block 1: its search part is ")
    else:
        # Only what was found is gone.
        assert len(changed.split("\n")) >= len(source) - len(search) - source.count("")


@quick
@given(LINES, st.data())
def test_a_line_that_stands_once_can_be_replaced(source, data):
    once = [line for line in source if source.count(line) == 1 and line.strip()]
    if not once:
        return
    line = data.draw(st.sampled_from(once))
    changed = apply("\n".join(source), [Edit((line,), ("new",))])
    assert changed == "\n".join("new" if each == line else each for each in source)
