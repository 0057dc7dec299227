"""What the compiler is told besides the loops: flags, pointers that do not overlap, alignment."""

from __future__ import annotations

import re
from functools import partial
from typing import ClassVar

from operators.structural.cpp import ir
from operators.structural.cpp.analysis import View
from operators.structural.cpp.base import CppOperator, Site

FLAGS = (
    "-mprefer-vector-width=512",
    "-mprefer-vector-width=256",
    "-fassociative-math",
    "-funroll-loops",
    "-fvect-cost-model=unlimited",
    "-fprefetch-loop-arrays",
    "-fno-tree-slp-vectorize",
    "-O2",
)
_POINTER = re.compile(r"\*(?P<space>\s*)(?!\s*(?:__restrict|const))(?P<name>\w+)")


class CompilerFlags(CppOperator):
    """Add or remove one compiler flag on the source's first line; vector width is the main one.

    What it may break: `-fassociative-math` lets sums be reordered, thus changes their last bits.
    """

    name: ClassVar[str] = "cpp_compiler_flags"
    weight: ClassVar[float] = 0.04

    def sites(self, view: View) -> list[Site]:
        """Every flag of the list: add it, or take it away."""
        unit = view.unit
        if view.function is not unit.functions[0]:
            return []
        found = []
        for flag in FLAGS:
            stem = flag.partition("=")[0]
            others = tuple(f for f in unit.flags if f.partition("=")[0] != stem)
            if flag in unit.flags:
                note, new = f"without {flag}", others
            else:
                note, new = f"with {flag}", (*others, flag)
            weight = 2.0 if "width" in flag else 1.0
            found.append(Site(note, weight, partial(unit.set_flags, new)))
        return found


class Restrict(CppOperator):
    """Promise with `__restrict` that a function's pointers do not overlap.

    What it may break: a function that is called with overlapping arrays.
    """

    name: ClassVar[str] = "cpp_restrict"
    weight: ClassVar[float] = 0.03

    def sites(self, view: View) -> list[Site]:
        """Functions with pointers that do not have the promise yet."""
        function = view.function
        pointers = [t for t in function.params.values() if "*" in t and "restrict" not in t]
        if not pointers or not ir.loops(function.body):
            return []

        def edit() -> None:
            head, bracket, params = function.header.partition("(")
            function.header = head + bracket + _POINTER.sub(r"* __restrict \g<name>", params)

        return [Site(f"restrict the pointers of {function.name}", 1.0, edit)]


class Align(CppOperator):
    """Align local arrays to cache lines.

    What it may break: nothing.
    """

    name: ClassVar[str] = "cpp_align"
    weight: ClassVar[float] = 0.01

    def sites(self, view: View) -> list[Site]:
        """Local arrays of numbers that are not aligned yet."""
        return [
            Site(f"align {item.name}", 1.0, partial(_align, item))
            for item in ir.walk(view.function.body)
            if isinstance(item, ir.Decl)
            and item.dims
            and "alignas" not in item.type
            and item.scalar_type in ("float", "double", "int")
        ]


def _align(decl: ir.Decl) -> None:
    decl.type = f"alignas(64) {decl.type}"
