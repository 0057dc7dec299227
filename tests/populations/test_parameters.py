import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from populations.parameters import Parameter, adopt, parameters, skeleton, values, with_values
from tests.contracts.samples import CPP, TRITON, quick

# Every form of line: the text, then what it declares.
LINES = {
    "BLOCK = 64  # tune: 32, 64, 128": ("BLOCK", 64, (32, 64, 128)),
    "    BLOCK=64 #tune:32,64": ("BLOCK", 64, (32, 64)),
    "BLOCK: tl.constexpr = 64  # tune: 32, 64": ("BLOCK", 64, (32, 64)),
    "BLOCK = tl.constexpr(64)  # tune: 32, 64": ("BLOCK", 64, (32, 64)),
    "    num_warps=4,  # tune: 4, 8": ("num_warps", 4, (4, 8)),
    "    num_stages=2)  # tune: 2, 3": ("num_stages", 2, (2, 3)),
    "BLOCK = 64  # tune: 32, 128": ("BLOCK", 64, (64, 32, 128)),
    "BLOCK = 64  # tune: 64, 64, 32, 64": ("BLOCK", 64, (64, 32)),
    "OFFSET = -1  # tune: -1, 0, +1": ("OFFSET", -1, (-1, 0, 1)),
    "LARGE = 1_000  # tune: 1_000, 0x10": ("LARGE", 1000, (1000, 16)),
    "EPS = 1e-3  # tune: 1e-3, .5, 2.": ("EPS", 1e-3, (1e-3, 0.5, 2.0)),
    "SHARE = 1  # tune: 0.5, 1": ("SHARE", 1.0, (0.5, 1.0)),
    "FAST = True  # tune: True, False": ("FAST", True, (True, False)),
    "MODE = 'a, b'  # tune: 'a, b', \"c # d\"": ("MODE", "a, b", ("a, b", "c # d")),
    "#define TILE 64  // tune: 16, 32, 64": ("TILE", 64, (16, 32, 64)),
    "  #  define TILE (64) // tune: 16, 64": ("TILE", 64, (16, 64)),
    "constexpr int TILE = 64;  // tune: 16, 64": ("TILE", 64, (16, 64)),
    "static const std::size_t TILE = 64UL; // tune: 16, 64": ("TILE", 64, (16, 64)),
    "constexpr int TILE{64};  // tune: 16, 64": ("TILE", 64, (16, 64)),
    "constexpr float SHARE = 0.5f;  // tune: 0.5f, 1": ("SHARE", 0.5, (0.5, 1.0)),
    "constexpr bool FAST = true;  // tune: true, false": ("FAST", True, (True, False)),
    "constexpr int TILE = 1'024;  // tune: 512, 1'024\r": ("TILE", 1024, (512, 1024)),
}

TEXT = [
    "# tune: 32, 64",
    "#tune: the block size, 32 is fine",
    "BLOCK = other  # tune: 32, 64",
    "BLOCK = 64 + 1  # tune: 32, 64",
    "BLOCK = 64  # tune:",
    "BLOCK = 64  # tune: 32 64",
    "BLOCK = 64  # tune: 32, , 64",
    "BLOCK = 64  # tune: 'a', 64",
    "BLOCK = 64  # tune: True, False",
    "BLOCK == 64  # tune: 32, 64",
    "A, B = 1, 2  # tune: 1, 2",
    "# BLOCK = 64  # tune: 32, 64",
    "BLOCK = 064  # tune: 32, 64",
    "BLOCK = 1e999  # tune: 1.0",
    "BLOCK = 64  # retune: 32, 64",
    '"""BLOCK = 64  # tune: 32, 64"""',
    '"""\nBLOCK = 64  # tune: 32, 64\n"""',
    "x = '''\nBLOCK = 64  # tune: 32, 64",
    "TILE = 64u;  # tune: 32.5, 64",
    "// constexpr int TILE = 64;  // tune: 32, 64",
    "constexpr int TILE = 64f;  // tune: 32, 64",
]


@pytest.mark.parametrize(("line", "expected"), LINES.items(), ids=range(len(LINES)))
def test_a_marked_literal_is_a_parameter(line, expected):
    (found,) = parameters(f"first = 1\n{line}\nlast = 2\n")
    assert found == Parameter(*expected, line=2)
    assert type(found.value) is type(expected[1])
    assert [type(choice) for choice in found.choices] == [type(choice) for choice in expected[2]]


@pytest.mark.parametrize("text", TEXT)
def test_other_mentions_are_text(text):
    source = f"first = 1\n{text}\n"
    assert parameters(source) == ()
    assert with_values(source, {}) == source


@pytest.mark.parametrize(("line", "expected"), LINES.items(), ids=range(len(LINES)))
def test_each_choice_can_be_written(line, expected):
    source = f"first = 1\n{line}\nlast = 2\n"
    name, value, choices = expected
    for choice in choices:
        changed = with_values(source, {name: choice})
        (found,) = parameters(changed)
        assert found.value == choice
        assert set(found.choices) <= {value, *choices}
        assert skeleton(changed) == skeleton(source)


@pytest.mark.parametrize(
    ("line", "value", "written"),
    [
        ("constexpr float A = 0.5f;  // tune: 0.5f, 1", 1, "A = 1.0f;"),
        ("constexpr auto A = 64ULL;  // tune: 64, 128", 128, "A = 128ULL;"),
        ("constexpr bool A = true;  // tune: true, false", False, "A = false;"),
        ("A = True  # tune: True, False", False, "A = False "),
        ("A = 'x'  # tune: 'x', \"y\"", "y", "A = 'y' "),
        ("A = 0x40  # tune: 64, 128", 64, "A = 0x40 "),
        ("A = tl.constexpr(64)  # tune: 64, 128", 128, "A = tl.constexpr(128) "),
    ],
)
def test_a_value_is_written_as_its_line_writes_it(line, value, written):
    assert written in with_values(line, {"A": value})


@pytest.mark.parametrize("filling", [" ", "a", "a ", "1", "(", ")", "'", '"', "\\", "1, ", "'', "])
@pytest.mark.parametrize(
    "line", ["A = 1{}x # tune: 1, 2", "{}A = 1; // tune: 1", "A = 1  # tune: {}x"]
)
def test_a_long_line_is_read_in_linear_time(line, filling):
    # Quadratic matching would need minutes here and run into the time limit of the tests.
    assert len(parameters(line.format(filling * 100_000))) <= 1


def test_both_languages_of_one_module():
    source = TRITON + CPP
    assert [(p.name, p.value, p.line) for p in parameters(source)] == [
        ("BLOCK", 128, 6),
        ("WARPS", 4, 7),
        ("TILE", 64, TRITON.count("\n") + 7),
    ]
    assert values(with_values(source, {"TILE": 32, "WARPS": 8})) == {
        "BLOCK": 128,
        "WARPS": 8,
        "TILE": 32,
    }


def test_a_name_marked_twice_is_one_parameter():
    source = (
        "TILE = 64  # tune: 32, 64\n#define TILE 16  // tune: 16, 64\nTILE = 'a'  # tune: 'a'\n"
    )
    assert parameters(source) == (Parameter("TILE", 64, (32, 64, 16), line=1),)
    changed = with_values(source, {"TILE": 32})
    assert changed.splitlines() == [
        "TILE = 32  # tune: 32, 64",
        "#define TILE 32  // tune: 16, 64",
        "TILE = 'a'  # tune: 'a'",
    ]
    assert skeleton(changed) == skeleton(source)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"OTHER": 1}, "no launch parameter is named 'OTHER'"),
        ({"A": 0.5}, "A holds a int"),
        ({"A": True}, "A holds a int"),
        ({"A": "64"}, "A holds a int"),
        ({"S": 'say "x"'}, "S holds a str"),
        ({"F": float("nan")}, "F holds a float"),
    ],
)
def test_what_cannot_be_written_is_refused(new, message):
    source = "A = 1  # tune: 1, 2\nS = 'a'  # tune: 'a', 'b'\nF = 0.5  # tune: 0.5\n"
    with pytest.raises(ValueError, match=message):
        with_values(source, new)


def test_adopting_takes_only_own_choices():
    source = "A = 1  # tune: 1, 2\nB = 1  # tune: 1, 2\nC = True  # tune: True, False\n"
    offered = {"A": 2, "B": 4, "C": 0, "D": 1}
    assert values(adopt(source, offered)) == {"A": 2, "B": 1, "C": True}


def test_skeletons_differ_where_code_or_choices_do():
    source = "A = 1  # tune: 1, 2\n"
    assert skeleton(source) == skeleton("A = 2  # tune: 1, 2\n")
    assert skeleton(source) != skeleton("B = 1  # tune: 1, 2\n")
    assert skeleton(source) != skeleton("A = 1  # tune: 1, 3\n")
    assert skeleton("A = 1\n") != skeleton("A = 2\n")


names = st.sampled_from(["A", "B", "TILE", "num_warps"])
literals = st.one_of(
    st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=4),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4),
    st.lists(st.booleans(), min_size=1, max_size=2),
    st.lists(st.text("abc ,#/_", max_size=5), min_size=1, max_size=3),
)


@st.composite
def marked_lines(draw):
    name, choices = draw(names), draw(literals)
    value = draw(st.sampled_from(choices))
    listed = ", ".join(map(repr, choices))
    if isinstance(value, bool) or draw(st.booleans()):
        return f"{name} = {value!r}  # tune: {listed}"
    quoted = listed.replace("'", '"')
    return f"constexpr auto {name} = {repr(value).replace(chr(39), chr(34))};  // tune: {quoted}"


sources = st.lists(
    st.one_of(marked_lines(), st.text("x=1 #\"'/\\t", max_size=20), st.text(max_size=10)),
    max_size=8,
).map("\n".join)
# Lines put together from right and wrong parts, to reach into the corners of the patterns.
LITERALS = """64 -1 +1 0x40 1_0 1'0 .5 2. 1e5 1e-3f 64u 0.5u 08 True true 'a' "a" ' '' x 1e999"""
PARTS = (
    ["", "  ", "\t", "#define ", "constexpr int ", "const auto ", "# ", "x, ", '"""'],
    ["A", "TILE", "A: int", "tl.A", "A.b", "٣", ""],
    [" = ", "=", " ", "{", " = f(", " = tl.constexpr(", " == "],
    LITERALS.split(),
    ["", ";", ",", ")", "};", ") ,", '"""'],
    ["  # tune: ", " // tune: ", "#tune:", "//tune:", "tune:", " # tune :"],
    [
        "64, 128",
        "1",
        "0.5, 1",
        "True, False",
        "'a', 'b'",
        "1,,2",
        "1,",
        "",
        "64, 'a'",
        "٣",
        "-1, 1\r",
    ],
)
pieces = st.lists(st.tuples(*map(st.sampled_from, PARTS)).map("".join), max_size=5).map("\n".join)


@settings(quick, max_examples=300)
@given(source=st.one_of(sources, pieces, st.text()), data=st.data())
def test_any_text_can_be_read_and_rewritten(source, data):
    found = parameters(source)
    assert with_values(source, {}) == source
    new = {parameter.name: data.draw(st.sampled_from(parameter.choices)) for parameter in found}
    changed = with_values(source, new)
    assert values(changed) == new
    assert skeleton(changed) == skeleton(source)
    assert [p.name for p in parameters(changed)] == [p.name for p in found]
    # Back again, once every line of a name agrees.
    assert with_values(with_values(changed, values(source)), new) == changed


@quick
@given(source=sources, data=st.data())
def test_a_rewrite_changes_the_literals_only(source, data):
    found = parameters(source)
    new = {parameter.name: data.draw(st.sampled_from(parameter.choices)) for parameter in found}
    before, after = source.split("\n"), with_values(source, new).split("\n")
    assert len(before) == len(after)
    for old, now in zip(before, after, strict=True):
        if old != now:
            assert old.partition("tune:")[2] == now.partition("tune:")[2]
            assert (
                old.split("=")[0].split("(")[0].split()[:2]
                == now.split("=")[0].split("(")[0].split()[:2]
            )


@quick
@given(source=st.text(st.characters(categories=["Cs", "L", "P"])))
def test_even_lone_surrogates_have_a_skeleton(source):
    assert len(skeleton(source)) == 16
