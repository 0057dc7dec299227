"""Unified diffs in answers: what difflib makes of any change is applied, wrong numbers or not."""

import difflib
import random
import re
from pathlib import Path

import pytest

from operators.dialogue import Reason
from operators.llm.diffs import Hunk, hunks, patch
from operators.llm.parse import Module, Unusable, read_edit
from tests.contracts.samples import CPP, TRITON

SEEDS = sorted((Path(__file__).parents[3] / "experiments" / "seeds").glob("*.py"))
SOURCES = [CPP, TRITON, *(path.read_text(encoding="utf-8") for path in SEEDS)]
MODEL = "class ModelNew:\n    def forward(self, x):\n        y = x\n        return y\n"


def diff(old: str, new: str, context: int = 3) -> str:
    lines = difflib.unified_diff(
        old.split("\n"), new.split("\n"), "a/kernel.py", "b/kernel.py", n=context, lineterm=""
    )
    return "\n".join(lines)


def moved(text: str, by: int) -> str:
    def one(match):
        return f"@@ -{int(match[1]) + by},{match[2]} +{int(match[3]) + by},{match[4]} @@"

    return re.sub(r"@@ -(\d+),?(\d*) \+(\d+),?(\d*) @@", one, text)


def changed(source: str, rng: random.Random) -> str:
    """A random edit of some lines: dropped, put in, replaced, turned, doubled, moved."""
    lines = source.split("\n")
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(1, len(lines) - 2)
        until = min(len(lines) - 2, at + rng.randint(1, 4))
        piece = lines[at:until]
        fresh = [f"{' ' * rng.randint(0, 8)}edited_{rng.randrange(10**6)} = {rng.random()}"]
        lines[at:until] = rng.choice(
            [[], fresh, [*piece, *fresh], [*fresh, *piece], piece[::-1], piece * 2, fresh * 2]
        )
    return "\n".join(lines)


EDITS = [
    (source, changed(source, random.Random(f"{number}:{turn}")))
    for number, source in enumerate(SOURCES)
    for turn in range(40)
]


def test_there_are_real_sources():
    assert len(SEEDS) >= 4
    assert sum(old != new for old, new in EDITS) > 200


def test_a_diff_of_any_edit_gives_the_new_text():
    for old, new in EDITS:
        text = diff(old, new)
        assert patch(old, hunks(text)) == new
        fenced = f"Rationale: x\n\n```diff\n{text}\n```\nThat is all.\n- A list follows\n"
        assert patch(old, hunks(fenced)) == new


@pytest.mark.parametrize("by", [-3, 1, 2, 50, 1000])
def test_wrong_line_numbers_do_not_matter(by):
    told_back = 0
    for old, new in EDITS:
        made = patch(old, hunks(moved(diff(old, new), by)))
        # What stands twice in a kernel cannot be told apart then, and is not guessed.
        told_back += not isinstance(made, str)
        assert isinstance(made, list) or made == new
    assert told_back < 0.02 * len(EDITS)


def test_no_line_numbers_at_all():
    told_back = 0
    for old, new in EDITS:
        text = re.sub(r"@@ .* @@", "@@", diff(old, new))
        made = patch(old, hunks(text))
        told_back += not isinstance(made, str)
        assert isinstance(made, list) or made == new
    assert told_back < 0.02 * len(EDITS)


def test_blanks_that_were_lost_do_not_matter():
    for old, new in EDITS:
        text = diff(old, new)
        # Blank lines that stay without their mark, and blanks at the ends of lines.
        lost = "\n".join(line.rstrip() for line in text.split("\n"))
        assert patch(old, hunks(lost)) == new
        trailing = "\n".join(
            line if line.startswith("+") else line + "  " for line in text.split("\n")
        )
        assert patch(old, hunks(trailing)) == new


def test_the_indent_that_a_model_left_out_is_put_back():
    text = "@@\n def forward(self, x):\n-    y = x\n+    y = 2 * x\n+    y += 1\n     return y"
    wanted = MODEL.replace("        y = x\n", "        y = 2 * x\n        y += 1\n")
    assert patch(MODEL, hunks(text)) == wanted


def test_lines_that_stay_are_kept_as_they_are():
    source = "class ModelNew:\n    a  =  1   # one\n\n    b = 2\n"
    text = "@@ -1,3 +1,3 @@\n class ModelNew:\n     a = 1 # one\n-    b = 2\n+    b = 3\n"
    assert patch(source, hunks(text)) == source.replace("b = 2", "b = 3")


def test_places_that_look_alike_are_told_apart_by_right_numbers_alone():
    source = "class ModelNew:\n" + "    a = 1\n    b = 2\n" * 3
    text = "@@ -{},2 +{},2 @@\n     a = 1\n-    b = 2\n+    b = 3\n"
    assert patch(source, hunks(text.format(4, 4))) == source.replace(
        "b = 2\n    a = 1\n    b = 2", "b = 2\n    a = 1\n    b = 3", 1
    )
    (miss,) = patch(source, hunks(text.format(9, 9)))
    assert str(miss).startswith("hunk 1: its lines are found 3 times")
    # A hunk that is found once says how far off the numbers are.
    first = "@@ -11,1 +11,1 @@\n-class ModelNew:\n+class ModelNew(Base):\n"
    both = patch(source, hunks(first + text.format(14, 14)))
    assert both.split("\n")[3:5] == ["    a = 1", "    b = 3"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("@@ -1,2 +1,2 @@\n class Other:\n-    x = 1\n+    x = 2", "are not in the kernel"),
        ("@@ -2,0 +3 @@\n+    z = 1", "no line of the kernel to find its place by"),
        ("@@\n-        y = x\n+        y = 1\n@@\n-        y = x\n+        y = 2", "overlaps"),
    ],
)
def test_what_does_not_apply_is_told_back(text, problem):
    misses = patch(MODEL, hunks(text))
    assert isinstance(misses, list)
    assert problem in str(misses[-1])
    found = read_edit(f"```diff\n{text}\n```", MODEL, 3)
    assert isinstance(found, Unusable)
    assert found.reason is Reason.INAPPLICABLE_EDIT
    assert "kernel 3" in found.reply
    assert problem in found.reply


def test_an_answer_with_a_diff_makes_a_module():
    text = diff(MODEL, MODEL.replace("y = x", "y = x + 0"))
    for answer in (
        f"Rationale: plain\n\n```diff\n{text}\n```\n",
        f"Rationale: plain\n\n{text}\n\nDone: nothing else.\n",
        "Rationale: plain\n" + "".join(f"  {line}\n" for line in text.split("\n")),
        f"Rationale: plain\n*** Update File: kernel.py\n{text}\n*** End Patch\n",
    ):
        assert read_edit(answer, MODEL, 1) == Module(
            MODEL.replace("y = x", "y = x + 0"), "plain"
        ), answer


def test_a_whole_module_beside_a_diff_that_does_not_apply_is_taken():
    answer = f"```diff\n@@\n-nowhere\n+there\n```\n\n```python\n{MODEL}```\n"
    assert read_edit(answer, MODEL, 1) == Module(MODEL, "")


def test_diffs_of_several_parts_and_odd_lines():
    twice = f"{diff(MODEL, MODEL)}--- a\n+++ b\n@@ -3 +3 @@\n-        y = x\n+        y = --x\n"
    more = f"{twice}--- a\n+++ b\n@@ -4 +4 @@\n-        return y\n+        return -y\n"
    assert [len(hunk.lines) for hunk in hunks(more)] == [2, 2]
    assert "return -y" in patch(MODEL, hunks(more))
    assert hunks("an answer @@ without a diff\n@decorator\n") == []
    assert hunks("@@ -1 +1 @@\n class ModelNew:\n") == []
    minus = "@@ -3 +3 @@\n---y\n+++y\n\\ No newline at end of file\n"
    assert hunks(minus) == [Hunk((("-", "--y"), ("+", "++y")), 3)]
