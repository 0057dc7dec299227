"""One C++ source taken apart: its functions as statement trees, its constants, its names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from operators.structural.cpp import ir
from operators.structural.cpp.affine import Poly, poly
from operators.structural.cpp.reader import read_functions
from operators.structural.cpp.tree import Unsupported, is_well_formed, parse, text_of, walk
from operators.structural.cpp.writer import write_function
from populations.parameters import parameters

if TYPE_CHECKING:
    from tree_sitter import Node

_DEFINE = re.compile(
    r"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+\(?(-?\d+)\)?[ \t]*(?://.*)?$", re.MULTILINE
)
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
INTEGERS = frozenset(
    ("int", "long", "long long", "size_t", "std::size_t", "unsigned", "int64_t", "ptrdiff_t")
)


@dataclass(frozen=True, slots=True)
class Choices:
    """Values a launch parameter may take."""

    choices: tuple[int, ...]

    @property
    def low(self) -> int:
        """The smallest."""
        return min(self.choices)

    @property
    def high(self) -> int:
        """The greatest."""
        return max(self.choices)


class Unit:
    """A parsed source. Edits change the statement trees; `render` writes them back.

    Attributes:
        source: The text as it was.
        functions: The functions that were understood.
        constants: Integer constants by name, launch parameters left out: these may change.
        tunables: What each integer launch parameter may be.
    """

    def __init__(self, source: str) -> None:
        if not is_well_formed(source):
            raise Unsupported("the C++ text does not parse")
        self.source = source
        self.functions = read_functions(source)
        self.tunables = {
            p.name: Choices(tuple(values))
            for p in parameters(source)
            if (values := [v for v in p.choices if type(v) is int])
            and len(values) == len(p.choices)
        }
        self.constants: dict[str, int] = {}
        for name, value in _DEFINE.findall(source):
            self._define(name, value)
        for decl in self._constant_declarations():
            self._define(decl.name, decl.init or "")
        self._taken = set(IDENTIFIER.findall(source))
        self._header: list[str] = []
        self._flags: tuple[str, ...] | None = None

    def _constant_declarations(self) -> list[ir.Decl]:
        found: list[ir.Decl] = []
        for function in read_functions(f"void f() {{\n{_file_level(self.source)}\n}}"):
            found += [d for d in function.body.items if isinstance(d, ir.Decl)]
        for function in self.functions:
            found += [d for d in function.body.items if isinstance(d, ir.Decl)]
        return [d for d in found if d.is_const and d.scalar_type in INTEGERS]

    def _define(self, name: str, value: str) -> None:
        if name in self.tunables:
            return
        try:
            number = poly(value, {k: Poly.constant(v) for k, v in self.constants.items()}).number
        except Unsupported:
            return
        if number is not None:
            self.constants.setdefault(name, number)

    @property
    def known(self) -> dict[str, Poly]:
        """The constants as polynomials, for resolving expressions."""
        return {name: Poly.constant(value) for name, value in self.constants.items()}

    def fresh(self, wanted: str) -> str:
        """A name that the source does not use: `wanted`, or `wanted` with a number."""
        name, count = wanted, 2
        while name in self._taken:
            name, count = f"{wanted}{count}", count + 1
        self._taken.add(name)
        return name

    def require(self, header: str) -> None:
        """Make sure the source includes a header, such as "<vector>"."""
        line = f"#include {header}"
        if line not in self.source and line not in self._header:
            self._header.append(line)

    @property
    def flags(self) -> tuple[str, ...]:
        """Compiler flags of the first line."""
        first = self.source.lstrip().partition("\n")[0]
        return tuple(first[len("// flags:") :].split()) if first.startswith("// flags:") else ()

    def set_flags(self, flags: tuple[str, ...]) -> None:
        """Replace the compiler flags of the first line."""
        self._flags = flags

    def render(self) -> str:
        """The source with every function written anew from its tree.

        Raises Unsupported when the result would not parse.
        """
        data = self.source.encode()
        for function in sorted(self.functions, key=lambda f: f.start, reverse=True):
            new = write_function(function).encode()
            data = data[: function.start] + new + data[function.end :]
        text = data.decode()
        if self._header:
            head, flags, rest = _split_flags(text)
            text = head + flags + "\n".join(self._header) + "\n" + rest
        if self._flags is not None:
            head, _, rest = _split_flags(text)
            line = f"// flags: {' '.join(self._flags)}\n" if self._flags else ""
            text = (line or head) + rest if line else head + rest
        if not is_well_formed(text):
            raise Unsupported("the edited text would not parse")
        return text


def _split_flags(text: str) -> tuple[str, str, str]:
    """Blank lines in front, the flags line, and the rest."""
    body = text.lstrip()
    head = text[: len(text) - len(body)]
    if not body.startswith("// flags:"):
        return head, "", body
    line, _, rest = body.partition("\n")
    return head, line + "\n", rest


def _file_level(source: str) -> str:
    """Declarations outside functions, one per line, with their end-of-line comments."""
    nodes = (n for n in walk(parse(source)) if n.type == "declaration" and _is_outside(n))
    return "\n".join(text_of(node) for node in nodes)


def _is_outside(node: Node) -> bool:
    above = node.parent
    while above is not None:
        if above.type in ("function_definition", "class_specifier", "struct_specifier"):
            return False
        above = above.parent
    return True
