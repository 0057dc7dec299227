"""What every operator keeps, whatever it does. Runs over the registry."""

import ast
import random
import re

import pytest

from operators import registry
from operators.operator import Inapplicable, Operator, Situation, Variation
from populations.kernel import Kernel
from populations.lineage import Lineage
from tests.contracts.samples import CPP, SOURCES, TRITON, failed, kernel, lineage

ODD = {
    "empty": "",
    "blank": "\n \n\t\n",
    "text": "this is no program",
    "unfinished": 'SOURCE = r"""\nextern "C" void f(',
    "null": "x = 1\0\n",
    "deep": "x = " + "(" * 500 + ")" * 500,
    "windows": TRITON.replace("\n", "\r\n"),
    "accents": TRITON.replace("total", "größe"),
    "no line break": TRITON.rstrip("\n"),
    "half a triton": TRITON[: len(TRITON) // 2],
    "half a cpp": CPP[: len(CPP) // 2],
    "broken c++": CPP.replace("{", "(", 1),
    "empty c++": 'from fitness.native import load_cpp\nS = ""\nk = load_cpp(S)\n',
    "c++ as an argument": 'from fitness.native import load_cpp\nk = load_cpp("int x;")\n',
    "kernel without body": "import triton\n@triton.jit\ndef f(): pass\n",
    "marks without sense": "A = 1  # tune: 1, 'x'\nB = 2  # tune:\n#define C 1 // tune: 2\n",
}


def all_operators() -> dict[str, Operator]:
    try:
        return dict(registry.all_operators())
    except (ImportError, AttributeError):  # a language's operators are not there yet
        return dict(registry.common_operators())


OPERATORS = all_operators()
each_operator = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
each_language = pytest.mark.parametrize("language", SOURCES)


def family(source: str, language: str) -> Lineage:
    """A seed, two children with edits far apart, and a retuned one."""
    first = source.replace("import torch\n", "import torch\n# first\n", 1)
    second = source + "# second\n"
    retuned = source.replace("= 128  # tune", "= 64  # tune").replace("TILE 64", "TILE 32")
    texts = [source, first, second, retuned or source]
    return lineage(
        *(
            kernel(n, text, 1.0 + n / 8, parents=(0,) if n else (), language=language)
            for n, text in enumerate(texts)
        )
    )


def situation(kernels: Lineage, language: str, seed: int) -> Situation:
    device = "cpu" if language == "cpp" else "cuda"
    return Situation(lineage=kernels, rng=random.Random(seed), device=device)


def parents_of(kernels: Lineage, operator: Operator) -> list[Kernel]:
    return [kernels.get(2), kernels.get(1)][: operator.arity]


@each_operator
def test_it_has_a_stable_name_and_an_arity(operator):
    assert re.fullmatch(r"[a-z][a-z0-9_]*", operator.name)
    assert OPERATORS[operator.name] is operator
    assert operator.arity in (1, 2)
    assert type(operator).__doc__


@each_operator
@each_language
def test_it_gives_the_same_variation_for_the_same_generator(operator, language):
    kernels = family(SOURCES[language], language)
    parents = parents_of(kernels, operator)
    for seed in range(4):
        first = operator.vary(parents, situation(kernels, language, seed))
        random.seed(seed)  # the global generator is none of its business
        state = random.getstate()
        assert operator.vary(parents, situation(kernels, language, seed)) == first
        assert random.getstate() == state


@each_operator
@each_language
def test_a_variation_is_a_new_module_that_parses(operator, language):
    kernels = family(SOURCES[language], language)
    parents = parents_of(kernels, operator)
    for seed in range(8):
        answer = operator.vary(parents, situation(kernels, language, seed))
        check(answer, parents)


@each_operator
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@each_language
def test_it_never_raises_for_an_odd_source(operator, odd, language):
    kernels = lineage(
        kernel(0, odd, language=language, evaluation=failed()),
        kernel(1, odd + "\n# first", parents=(0,), language=language, evaluation=failed()),
        kernel(2, "# second\n" + odd, parents=(0,), language=language, evaluation=failed()),
    )
    parents = parents_of(kernels, operator)
    for seed in range(2):
        answer = operator.vary(parents, situation(kernels, language, seed))
        assert isinstance(answer, (Variation, Inapplicable))
        if isinstance(answer, Inapplicable):
            assert_one_line(answer.reason)
    assert len(kernels) == 3


@each_operator
def test_it_takes_parents_that_are_not_in_the_lineage(operator):
    strangers = [kernel(5, TRITON), kernel(6, TRITON + "# other\n")][: operator.arity]
    check(operator.vary(strangers, situation(Lineage(), "triton", 0)), strangers)


def check(answer: Variation | Inapplicable, parents: list[Kernel]) -> None:
    if isinstance(answer, Inapplicable):
        assert_one_line(answer.reason)
        return
    assert answer.source not in [parent.source for parent in parents]
    ast.parse(answer.source)
    assert_one_line(answer.note)
    assert answer.language in (None, "cpp", "triton", "python")


def assert_one_line(text: str) -> None:
    assert text.strip()
    assert "\n" not in text
