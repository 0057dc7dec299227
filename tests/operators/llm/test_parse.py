import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.dialogue import Reason
from operators.llm.fence import fenced, one_line, printable
from operators.llm.parse import (
    Module,
    Unusable,
    fenced_blocks,
    gave_up,
    labelled,
    rationale,
    read_edit,
    read_module,
    written_in,
)
from populations.sameness import fingerprint
from tests.contracts.samples import CPP, TRITON, quick
from tests.operators.llm.dialogues import module_answer

SMALL = "class ModelNew:\n    pass\n"
# Pieces that answers are made of, so that random texts look like answers.
MARKS = ["```", "````", "~~~", "```python\n", "<think>", "</think>", "\n", "\r", "    ", 'r"""']
EDITS = ["<<<<<<< SEARCH\n", "=======\n", ">>>>>>> REPLACE\n", "Rationale: x", "GIVE UP:", "\0"]
CODE = ["class ModelNew: pass\n", "S = 1\n", "load_cpp(S)\n", "import triton\n", "@triton.jit\n"]
PIECES = st.sampled_from([*MARKS, *EDITS, *CODE, "\u2028", "\ud800"])
ANY = st.lists(st.one_of(PIECES, st.text(max_size=20)), max_size=25).map("".join)


@pytest.mark.parametrize(
    "answer",
    [
        module_answer(SMALL),
        f"```\n{SMALL}```",
        f"Sure.\n~~~py\n{SMALL}~~~\nThat is all.",
        "1. Here:\n   ```python\n   class ModelNew:\n       pass\n   ```\n",
        f"```python\n{SMALL}",  # the fence was forgotten
        SMALL,  # both were
        f"<think>Maybe\n```python\nclass ModelNew: 1/0\n```\n</think>\n```python\n{SMALL}```",
        f"```python\n{SMALL}```\nUse it like this:\n```python\nModelNew()\n```",
        f"First try:\n```python\nclass ModelNew(\n```\nBetter:\n```python\n{SMALL}```",
        SMALL.join(["```python\r\n", "```"]).replace("\n", "\r\n").replace("\r\r", "\r"),
        f"````python\n{SMALL}````",
    ],
)
def test_the_module_is_found(answer):
    found = read_module(answer)
    assert isinstance(found, Module), found
    assert found.source == SMALL


def test_a_fence_inside_of_a_docstring_does_not_cut_the_module():
    source = 'class ModelNew:\n    """Like so:\n```\nModelNew()\n```\n    """\n'
    found = read_module(f"```python\n{source}```\n")
    assert isinstance(found, Module)
    assert found.source == source


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("I would rather talk about it.", "no block of code"),
        ("```python\nclass ModelNew(:\n```", "does not parse: line 1"),
        ("```python\nx = 1\n```", "does not define the class ModelNew"),
        ("```python\n" + "(" * 3000 + "\nModelNew\n```", "does not parse"),
        ("```python\nclass ModelNew: pass\n#" + "x" * (1 << 19) + "\n```", "at most"),
    ],
)
def test_what_cannot_be_read_says_why(answer, problem):
    found = read_module(answer)
    assert isinstance(found, Unusable)
    assert found.reason is Reason.UNREADABLE
    assert problem in found.text
    assert problem in found.reply


def test_giving_up_is_an_answer_but_not_beside_a_kernel():
    found = read_module("After much thought:\n**GIVE UP:** it is at the roofline\n")
    assert found == Unusable(Reason.GAVE_UP, "it is at the roofline")
    assert gave_up("give up") is not None
    assert gave_up("I will not give up: never") is None
    assert isinstance(read_module(f"GIVE UP: no, wait\n```python\n{SMALL}```"), Module)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Rationale: one pass", "one pass"),
        ("thinking...\n**Rationale:** one   pass\n", "one pass"),
        ("## rationale: one pass\n```python\nRationale: not this\n```", "one pass"),
        ("```python\nRationale: not this\n```\n- One pass.\n", "One pass."),
        ("<<<<<<< SEARCH\nRationale: no\n=======\n>>>>>>> REPLACE\nOne pass.", "One pass."),
        ("```\ncode\n```", ""),
    ],
)
def test_the_rationale_is_one_line_outside_of_code(text, said):
    assert rationale(text) == said


def test_a_label_is_found_at_the_beginning_of_a_line_alone():
    assert labelled("The bottleneck: no\nBottleneck: memory", "bottleneck") == "memory"
    assert labelled("Bottleneck: " + "x" * 999, "bottleneck", 10) == "xxxxxxx..."


@pytest.mark.parametrize(
    ("source", "expected", "language"),
    [
        (CPP, "cpp", "cpp"),
        (TRITON, "triton", "triton"),
        (TRITON, "cpp", "triton"),
        (CPP, "triton", "cpp"),
        (SMALL, "triton", "python"),
        (SMALL, "python", "python"),
        (SMALL, "tile", "tile"),
        ("import torch\n@torch.jit.script\ndef f(): ...\n", "triton", "python"),
        ("import triton\n", "triton", "python"),
        ("class (", "triton", "triton"),
    ],
)
def test_a_kernel_s_language_is_what_it_uses(source, expected, language):
    assert written_in(source, expected) == language


@quick
@given(ANY)
def test_any_answer_is_read(text):
    for found in (read_module(text), read_edit(text, SMALL, 7), read_edit(text, text, 7)):
        if isinstance(found, Module):
            assert "ModelNew" in ast.dump(ast.parse(found.source))
            assert "\n" not in found.note
            written_in(found.source, "cpp")
        else:
            assert isinstance(found, Unusable)
            assert found.text
            assert "\n" not in found.text
    fingerprint(text)
    written_in(text, "triton")


@quick
@given(ANY)
def test_no_text_can_leave_its_fence(text):
    (block,) = fenced_blocks(fenced(text))
    assert block.closed
    assert block.text == printable(text).strip("\n")
    # Neither as lines nor as characters: no run of backticks inside is as long as the fence.
    assert fenced(text).count(fenced(text).partition("text\n")[0]) == 2


@quick
@given(st.text())
def test_one_line_is_one_line(text):
    assert len(one_line(text, 20)) <= 20
    assert one_line(text).splitlines() in ([], [one_line(text)])


def test_layout_and_comments_do_not_make_another_kernel():
    assert fingerprint(CPP) == fingerprint(CPP.replace("float sum", "// new\n        float  sum"))
    assert fingerprint(TRITON) == fingerprint('"""Better."""\n' + TRITON + "# end\n")
    assert fingerprint(CPP) != fingerprint(CPP.replace("sum +=", "sum -="))
    assert fingerprint(CPP) != fingerprint(
        CPP.replace("TILE 64  // tune: 16,", "TILE 64  // tune: 8,")
    )
    assert fingerprint(TRITON) != fingerprint(TRITON.replace("BLOCK = 128", "BLOCK = 64"))
    flags = CPP.replace('r"""\n', 'r"""// flags: -O2\n')
    assert fingerprint(flags) != fingerprint(flags.replace("-O2", "-O1"))
    assert fingerprint("class (") != fingerprint("class  (")
