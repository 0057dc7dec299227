"""Kernels to edit, and the shorthand for doing so."""

import random
from pathlib import Path

from operators.structural.triton import operators
from operators.structural.triton.base import parsed
from operators.structural.triton.tree import View

SEEDS = Path(__file__).parents[4] / "experiments" / "seeds"
CONV = (SEEDS / "conv1d_triton.py").read_text()
NORM = (SEEDS / "rmsnorm_backward_triton.py").read_text()
OPERATORS = {operator.name.removeprefix("triton_"): operator for operator in operators()}


def apply(source: str, *steps: tuple[str, str]) -> str:
    """The source after edits, each given by operator and a part of its note."""
    for name, wanted in steps:
        result = OPERATORS[name].apply(source, random.Random(0), wanted)
        assert result is not None, f"{name} finds no {wanted!r}"
        source = result[0]
    return source


def notes(name: str, source: str) -> list[str]:
    """Notes of all edits of an operator."""
    view = parsed(source)
    assert view is not None
    return [edit.note for edit in OPERATORS[name].edits(view)]


def refuses(name: str, source: str, wanted: str = "") -> bool:
    """Whether the operator has nothing to do."""
    return OPERATORS[name].apply(source, random.Random(0), wanted) is None


def view_of(body: str, parameters: str = "x_ptr, y_ptr, n, N: tl.constexpr") -> View:
    """A module with one kernel of this body, which one line launches on a grid (n,)."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    view = parsed(module_of(lines, parameters))
    assert view is not None
    return view


def module_of(body: str, parameters: str) -> str:
    names = [p.split(":")[0].strip() for p in parameters.split(",")]
    return (
        "import triton\nimport triton.language as tl\n\n\n"
        f"@triton.jit\ndef kernel({parameters}):\n{body}\n\n"
        f"def run({', '.join(names)}):\n"
        f"    kernel[(n,)]({', '.join(f'{name}={name}' for name in names)})\n"
    )
