import ast
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from populations import constraints as module
from populations.constraints import (
    FACTS,
    ConstraintError,
    constraints,
    faults,
    feasible,
    parsed,
)
from populations.parameters import parameters, skeleton
from tests.contracts.samples import quick

SOURCE = '''
BLOCK = 64  # tune: 32, 64, 128
STAGES = 2  # tune: 1, 2, 3
MODE = "plain"  # tune: "plain", "fused"
# tune-if: BLOCK * BLOCK * 2 * STAGES <= shared_memory
    #tune-if:MODE == "plain" or BLOCK <= 64
CPP = r"""
constexpr int TILE = 8;  // tune: 4, 8
// tune-if: 96 % TILE == 0 and TILE <= BLOCK
"""
'''
NAMES = ("BLOCK", "STAGES", "MODE", "TILE")


def test_a_comment_on_a_line_of_its_own_is_a_constraint_in_either_language():
    found = constraints(SOURCE)
    assert [c.line for c in found] == [5, 6, 9]
    assert found[0].text == "BLOCK * BLOCK * 2 * STAGES <= shared_memory"
    assert found[0].names == ("BLOCK", "STAGES", "shared_memory")
    assert found[1].names == ("BLOCK", "MODE")
    assert faults(SOURCE) == ()
    # It changes neither the parameters nor what may be rewritten.
    assert [p.name for p in parameters(SOURCE)] == ["BLOCK", "STAGES", "MODE", "TILE"]
    assert skeleton(SOURCE) == skeleton(SOURCE.replace("BLOCK = 64", "BLOCK = 32"))


@pytest.mark.parametrize(
    "text",
    [
        "x = 1  # tune-if: BLOCK < 4",
        '"""\n# tune-if: BLOCK < 4\n"""',
        "# tune-iff: BLOCK < 4",
        "# see tune-if: BLOCK < 4",
    ],
)
def test_everything_else_that_mentions_it_is_text(text):
    source = f"BLOCK = 4  # tune: 4, 8\n{text}\n"
    assert constraints(source) == faults(source) == ()


@pytest.mark.parametrize(
    ("text", "point", "expected"),
    [
        ("BLOCK <= 64", {"BLOCK": 64}, True),
        ("BLOCK < 64", {"BLOCK": 64}, False),
        ("32 <= BLOCK <= 64", {"BLOCK": 128}, False),
        ("BLOCK % 3 == 0 or STAGES == 2", {"BLOCK": 64, "STAGES": 2}, True),
        ("not (BLOCK == 64 and STAGES != 2)", {"BLOCK": 64, "STAGES": 3}, False),
        ("-BLOCK + 64 // 2 * 3 - 96 / 1.5 == -32", {"BLOCK": 64}, True),
        ("MODE == 'fused'", {"MODE": "plain"}, False),
        ("BLOCK / STAGES > 1", {"BLOCK": 64, "STAGES": 0}, None),
        ("BLOCK * 2 <= shared_memory", {"BLOCK": 64}, None),
        ("BLOCK < 64 and warp == 32", {"BLOCK": 64}, None),
        ("BLOCK * 2 <= shared_memory", {"BLOCK": 64, "shared_memory": 127}, False),
        ("MODE < 3", {"MODE": "plain"}, None),
        ("MODE * 3 == 3", {"MODE": "plain"}, None),
    ],
)
def test_what_holds_and_what_cannot_be_told(text, point, expected):
    assert parsed(text, NAMES).holds(point) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("BLOK <= 64", "no launch parameter is named 'BLOK'; did you mean 'BLOCK'?"),
        ("shared_memory > 4", "it names no launch parameter"),
        ("BLOCK <=", "is no expression"),
        ("", "is no expression"),
        ("BLOCK < 4 && STAGES < 2", "write 'and' for '&&'"),
        ("(BLOCK < 4) & (STAGES < 2)", "write 'and' for '&'"),
        ("BLOCK ** 2 < 4", "'BLOCK ** 2' is neither arithmetic nor a comparison"),
        ("min(BLOCK, 4) < 4", "'min(BLOCK, 4)' is neither"),
        ("BLOCK.real < 4", "'BLOCK.real' is neither"),
        ("[BLOCK][0] < 4", "is neither"),
        ("(lambda: BLOCK)() < 4", "is neither"),
        ("BLOCK if STAGES else 4", "is neither"),
        ("BLOCK in (4, 8)", "is neither"),
        ("BLOCK is 4", "is neither"),
        ("BLOCK << 4 < 4", "is neither"),
        ("(BLOCK := 4) < 4", "is neither"),
        ("f'{BLOCK}' == 'a'", "is neither"),
        ("BLOCK < 4j", "is neither a number nor a string"),
        ("BLOCK < None", "is neither a number nor a string"),
        ("BLOCK < " + "1 + " * 200 + "1", "longer than 400 characters"),
        ("-" * 390 + "BLOCK", ""),
        ("(" * 190 + "BLOCK" + ")" * 190, ""),
    ],
)
def test_errors_say_what_is_wrong(text, message):
    if not message:
        with suppress(ConstraintError):
            assert parsed(text, NAMES).holds({"BLOCK": 4}) in (True, False)
        return
    with pytest.raises(ConstraintError) as caught:
        parsed(text, NAMES)
    assert message in str(caught.value)


def test_what_cannot_be_read_keeps_nothing_away_and_is_told():
    source = SOURCE.replace("96 % TILE == 0", "96 % TIEL == 0")
    assert len(constraints(source)) == 2
    assert faults(source) == (
        "line 9: tune-if: no launch parameter is named 'TIEL'; did you mean 'TILE'?",
    )


def test_a_parameter_hides_a_fact_of_its_name():
    found = constraints("warp = 4  # tune: 4, 8\n# tune-if: warp < 8\n")
    assert not feasible({"warp": 8}, found, {"warp": 4})


def test_facts_are_described():
    assert all(text and name.isidentifier() for name, text in FACTS.items())


@quick
@given(st.text(max_size=60))
def test_no_text_breaks_the_reading(text):
    source = f"BLOCK = 4  # tune: 4, 8\n# tune-if: {text}\n// tune-if: {text}"
    for constraint in constraints(source):
        assert constraint.holds({"BLOCK": 4}) in (True, False, None)
    assert all(isinstance(fault, str) for fault in faults(source))


WORDS = st.sampled_from(
    [*NAMES, "shared_memory", "1", "0", "2.5", "'a'", "__import__", "os", "eval", "open", "exit"]
)
GLUE = st.sampled_from(
    """ + | * | ** | // | % | < | == | and | or |(|)|[|]|.|, | if | else | for | in |lambda: |not |-
    |~|@|:=|!|{}""".replace("\n    ", "").split("|")
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(WORDS, GLUE), max_size=12).map("".join))
def test_nothing_but_arithmetic_is_ever_evaluated(text):
    try:
        constraint = parsed(text, NAMES)
    except ConstraintError:
        return
    allowed = (
        ast.Expression, ast.Constant, ast.Name, ast.Load, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp,
        ast.Not, ast.USub, ast.UAdd, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv,
        ast.Mod, ast.Compare, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq,
    )  # fmt: skip
    tree = ast.parse(text.strip(), mode="eval")
    assert all(isinstance(node, allowed) for node in ast.walk(tree))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert names <= {*NAMES, *FACTS}
    point = {"BLOCK": 64, "STAGES": 2, "MODE": "plain", "TILE": 8}
    held = constraint.holds(point)
    assert held in (True, False, None)
    # As Python has it, where Python has an answer at all.
    try:
        value = eval(text, {"__builtins__": {}}, dict(point))
    except (NameError, ArithmeticError, TypeError):
        return
    assert held is None or held is bool(value)


def test_texts_are_never_computed_with():
    # 'a' * 10**9 would take a gigabyte.
    assert parsed("'a' * 1000000000 == MODE", NAMES).holds({"MODE": "a"}) is None
    assert module.parsed("MODE % 3 == 0", NAMES).holds({"MODE": "%1000000000d"}) is None
