"""When two sources are one kernel, and how much two of them share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from populations.parameters import parameters, with_values
from populations.sameness import fingerprint, literals, most_similar, shape, similarity
from tests.contracts.samples import CPP, SOURCES, TRITON, quick

RENAMED = [
    (TRITON, {"offsets": "where", "total": "acc", "step": "i", "n": "count", "block": "width"}),
    (TRITON, {"scale": "kernel_of_mine", "BLOCK": "TILE"}),
    (CPP, {"sum": "total", "column": "c", "rows": "height"}),
    (CPP, {"SOURCE": "TEXT", "kernels": "library"}),
]


def renamed(source, names):
    import re

    pattern = re.compile(r"\b(" + "|".join(names) + r")\b(?!\()")
    if "scale" in names:
        pattern = re.compile(r"\b(" + "|".join(names) + r")\b")
    return pattern.sub(lambda match: names[match[1]], source)


@pytest.mark.parametrize(("source", "names"), RENAMED)
def test_names_of_variables_do_not_make_another_kernel(source, names):
    other = renamed(source, names)
    assert other != source
    assert fingerprint(other) != fingerprint(source)
    assert shape(other) == shape(source)
    assert shape("# a comment\n" + other + "\n\n") == shape(source)


@pytest.mark.parametrize(
    ("source", "old", "new"),
    [
        (TRITON, "total += step", "total -= step"),
        (TRITON, "values * total", "values * values"),
        (TRITON, "tl.load", "tl.store"),
        (TRITON, "num_warps=WARPS", "num_stages=WARPS"),
        (TRITON, "x.numel()", "x.nelement()"),
        (TRITON, "BLOCK = 128  # tune: 64", "BLOCK = 64  # tune: 64"),
        (TRITON, "x, y, n, BLOCK", "y, x, n, BLOCK"),
        (TRITON, "range(4)", "range(5)"),
        (CPP, "* sum;", "* x[row];"),
        (CPP, "x[row * columns + column];", "x[column * columns + row];"),
        (CPP, "TILE 64", "TILE 32"),
        (CPP, "kernels.scale(x, y", "kernels.scale(y, x"),
        (CPP, "float sum = 0.0f", "double sum = 0.0f"),
    ],
)
def test_what_differs_stays_another_kernel(source, old, new):
    assert source.count(old) == 1
    assert shape(source.replace(old, new)) != shape(source)


def test_names_that_may_be_known_outside_count():
    looked_up = "class ModelNew:\n    pass\na = 1\nb = globals()['a']\n"
    assert shape(looked_up) != shape(looked_up.replace("a = 1", "c = 1"))
    member = "class ModelNew:\n    {0} = 1\n    {1} = 2\n    def forward(self):\n        {2}\n"
    one = member.format("k", "q", "return self.k")
    assert shape(one) != shape(member.format("q", "k", "return self.k"))
    outside = "import torch\nclass ModelNew:\n    pass\ndef f(x):\n    {0} = 0\n    {1}\n"
    one = outside.format("dim", "return torch.sum(x, dim=dim)")
    assert shape(one) != shape(outside.format("axis", "return torch.sum(x, axis=axis)"))
    # The function of another library, however much its name looks like a variable.
    assert shape(CPP.replace("* sum;", "* fmaxf(sum, sum);")) != shape(
        CPP.replace("* sum;", "* fminf(sum, sum);")
    )


@pytest.mark.parametrize("language", SOURCES)
def test_siblings_in_launch_parameters_are_never_one(language):
    source = SOURCES[language]
    for parameter in parameters(source):
        for value in parameter.choices:
            if value == parameter.value:
                continue
            other = with_values(source, {parameter.name: value})
            assert similarity(source, other) > 0.95
            assert literals(other) != literals(source)
            assert shape(other) != shape(source)


def test_what_two_texts_share():
    assert similarity(CPP, CPP) == 1.0
    assert similarity(CPP, "# other comments\n" + CPP) == 1.0
    assert similarity(CPP, TRITON) < 0.3
    twice = TRITON.replace("        total += step\n", "        total += step\n" * 2)
    assert similarity(TRITON, twice) < 1.0
    assert similarity(TRITON, twice) == similarity(twice, TRITON) <= most_similar(TRITON, twice)
    assert similarity("", "") == 0.0


@quick
@given(st.text(), st.text())
def test_any_text_is_accepted(a, b):
    assert 0.0 <= similarity(a, b) <= most_similar(a, b) <= 1.0
    assert (shape(a) == shape(a + "\n")) in (True, False)
    literals(a)
