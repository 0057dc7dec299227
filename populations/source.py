"""Where C++ lives inside a candidate: string constants handed to `load_cpp`.

A candidate is a Python module. C++ source is a module-level string, named in a call of `load_cpp`:

    SOURCE = r\"\"\"...\"\"\"
    kernels = load_cpp(SOURCE)

The builder compiles these strings before the candidate runs, and the structural operators edit
them; both find them here, by syntax and without running anything.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CppSource:
    """One embedded C++ source.

    Attributes:
        name: The module-level name bound to the string.
        text: The C++ text.
        start: Offset of the literal (prefix and quotes included) in the module's text, characters.
        end: Offset just behind the literal.
    """

    name: str
    text: str
    start: int
    end: int


def cpp_sources(module_source: str) -> tuple[CppSource, ...]:
    """Find the C++ strings of a candidate, in file order.

    Returns an empty tuple when there are none. Raises SyntaxError when the module does not parse.
    """
    tree = ast.parse(module_source)
    used = {
        call.args[0].id
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "load_cpp"
        and call.args
        and isinstance(call.args[0], ast.Name)
    }
    starts = _line_starts(module_source)
    return tuple(
        CppSource(
            name=target.id,
            text=value.value,
            start=_offset(module_source, starts, value.lineno, value.col_offset),
            end=_offset(module_source, starts, value.end_lineno or 0, value.end_col_offset or 0),
        )
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(value := node.value, ast.Constant)
        and isinstance(value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in used
    )


def replace_cpp(module_source: str, old: CppSource, new_text: str) -> str:
    """Put `new_text` in place of one embedded C++ source.

    The literal is written as a raw triple-quoted string, which C++ text fits unless it holds three
    double quotes or ends in a backslash; ValueError then.
    """
    if '"""' in new_text or new_text.endswith(("\\", '"')):
        raise ValueError("C++ text cannot be written as a raw triple-quoted string")
    return f'{module_source[: old.start]}r"""{new_text}"""{module_source[old.end :]}'


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _offset(text: str, starts: list[int], line: int, column_bytes: int) -> int:
    start = starts[line - 1]
    # ast counts columns in UTF-8 bytes.
    prefix = text[start : starts[line] if line < len(starts) else len(text)].encode()[:column_bytes]
    return start + len(prefix.decode())
