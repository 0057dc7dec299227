"""Every operator that asks a model, and how a dialogue with it begins."""

import pytest

from operators.llm.registry import OPERATORS, model_operators
from tests.operators.llm.dialogues import (
    CONTEXT,
    NEW_CPP,
    NEW_TRITON,
    family,
    parents_of,
    situation,
)

NAMES = [kind.name for kind in OPERATORS]
WITH_PARENT = [name for name in NAMES if name not in ("draft", "repair")]
MINE = model_operators("big", context_tokens=CONTEXT)
each = pytest.mark.parametrize("name", NAMES)


def begin(name, *, kernels=None, seed=0, operators=MINE, told=None):
    """What an operator proposes, or asks, in a small lineage."""
    kernels = family() if kernels is None else kernels
    operator = operators[name]
    return operator.vary(
        parents_of(operator.arity, kernels), situation(kernels, seed=seed, told=told)
    )


def new_source(name):
    """A kernel in the language that an operator asks for."""
    return NEW_TRITON if name == "translate" else NEW_CPP
