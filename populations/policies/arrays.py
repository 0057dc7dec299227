"""How much a C++ kernel keeps in arrays of its own, read off its text.

A sum over the array declarations whose sizes follow from literals and `constexpr` constants; what
cannot be worked out is passed over. An estimate that tells kinds of kernels apart, and no more.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from math import prod

_BYTES = {
    "double": 8,
    "long long": 8,
    "int64_t": 8,
    "float": 4,
    "int": 4,
    "int32_t": 4,
    "short": 2,
    "uint16_t": 2,
    "int16_t": 2,
    "char": 1,
    "uint8_t": 1,
    "int8_t": 1,
}
_CONSTANT = re.compile(
    r"^[ \t]*(?:(?:static|const|constexpr)[ \t]+)+\w+(?:[ \t]+\w+)?[ \t]+(?P<name>\w+)[ \t]*="
    r"[ \t]*(?P<value>[^;\n]{1,200});",
    re.MULTILINE,
)
_MACRO = re.compile(
    r"^[ \t]*#[ \t]*define[ \t]+(?P<name>\w+)[ \t]+(?P<value>[\w \t()*/+-]{1,200})", re.MULTILINE
)
_ARRAY = re.compile(
    r"^[ \t]*(?:(?:static|thread_local|const|__shared__|alignas\(\d+\))[ \t]+)*"
    rf"(?P<type>{'|'.join(_BYTES)})[ \t]+\w+[ \t]*(?P<sizes>(?:\[[^][\n]{{1,200}}\][ \t]*)+)[;={{]",
    re.MULTILINE,
)
_SIZE = re.compile(r"\[([^][]*)\]")
_ARITHMETIC: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.floordiv,
    ast.FloorDiv: operator.floordiv,
}
_GREATEST = 1 << 40


def array_bytes(source: str) -> int:
    """Bytes in arrays that a source declares with sizes known beforehand; 0 where there are none.

    Any text is taken.
    """
    known: dict[str, int] = {}
    found = [*_MACRO.finditer(source), *_CONSTANT.finditer(source)]
    for match in sorted(found, key=re.Match.start):
        value = _worked_out(match["value"], known)
        if value is not None:
            known.setdefault(match["name"], value)
    total = 0
    for array in _ARRAY.finditer(source):
        sizes = [_worked_out(text, known) for text in _SIZE.findall(array["sizes"])]
        if all(sizes):
            total += _BYTES[array["type"]] * prod(size for size in sizes if size and size > 0)
    return total


def _worked_out(text: str, known: Mapping[str, int]) -> int | None:
    """The value of a whole-number expression; None where it is anything else."""
    try:
        return _value(ast.parse(text.split("//", maxsplit=1)[0].strip(), mode="eval").body, known)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr, known: Mapping[str, int]) -> int | None:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value if node.value < _GREATEST else None
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = _value(node.left, known), _value(node.right, known)
        if left is not None and right is not None:
            value = _ARITHMETIC[type(node.op)](left, right)
            return value if abs(value) < _GREATEST else None
    return None
