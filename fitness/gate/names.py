"""Names of the kernels that a candidate's source defines."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from fitness.gate.tokens import Source

_KERNEL_MAKERS = ("load_cpp", "load_inline", "RawKernel", "RawModule", "_compile_kernel", "njit")
_DECORATORS = frozenset(("jit", "autotune", "heuristics", "kernel", "njit"))


@dataclass(frozen=True, slots=True)
class KernelNames:
    """What a source defines to run on a device.

    Attributes:
        kernels: Names of kernels in Triton and CUDA.
        has_native: Whether it has functions in C++ or compiled Python.
        uses_cutlass: Whether its own text instantiates CUTLASS' templates.
    """

    kernels: frozenset[str] = frozenset()
    has_native: bool = False
    uses_cutlass: bool = False

    @property
    def any(self) -> bool:
        """Whether it has kernels of its own at all."""
        return bool(self.kernels) or self.has_native


def kernel_names(source: str) -> KernelNames:
    """Find the kernels of a source without running it; none where it does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return KernelNames()
    names: set[str] = set()
    native = False
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(map(_makes_kernel, node.decorator_list)):
            names.add(node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if "__global__" in node.value:
                names.update(_in_cuda(node.value))
        elif isinstance(node, ast.Call) and _name(node.func) in _KERNEL_MAKERS:
            native = True
    return KernelNames(frozenset(names), native, "cutlass" in source)


def _in_cuda(text: str) -> Iterator[str]:
    """Names behind `__global__`: the first before a parenthesis that is no attribute."""
    tokens = Source(text).tokens
    for i, token in enumerate(tokens):
        if token.text != "__global__":
            continue
        for word, after in zip(tokens[i + 1 : i + 64], tokens[i + 2 : i + 65], strict=False):
            if word.text in (";", "{"):
                break
            if word.kind == "name" and after.text == "(" and not word.text.startswith("__"):
                yield word.text
                break


def _makes_kernel(node: ast.expr) -> bool:
    return _name(node.func if isinstance(node, ast.Call) else node) in _DECORATORS


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
