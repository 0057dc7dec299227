"""What every edit leaves behind is put right here: unused constants, collapse clauses."""

from __future__ import annotations

import re

from operators.structural.cpp import ir
from operators.structural.cpp.expression import names
from operators.structural.cpp.references import mentions
from operators.structural.cpp.unit import Unit

_COLLAPSE = re.compile(r"\s*\bcollapse\s*\(\s*(\d+)\s*\)")


def tidy(unit: Unit) -> None:
    """Drop constants that nothing mentions; make collapse clauses fit the loops below them."""
    for function in unit.functions:
        while _drop_unused(function.body):
            pass
        _flatten(function.body)
        for loop in ir.loops(function.body):
            loop.pragmas = [_fitting(pragma, loop) for pragma in loop.pragmas]


def code_size(unit: Unit) -> int:
    """About how many statements the compiler sees once it has unrolled what it is told to."""
    greatest = {
        decl.name: int(word)
        for function in unit.functions
        for decl in ir.walk(function.body)
        if isinstance(decl, ir.Decl) and decl.tail.startswith("// tune:")
        for word in [max(re.findall(r"\d+", decl.tail) or ["1"], key=int)]
    }
    return sum(_size(function.body, greatest) for function in unit.functions)


def _size(statement: ir.Stmt, greatest: dict[str, int]) -> int:
    inside = sum(_size(s, greatest) for block in ir.children(statement) for s in block.items)
    times = [int(n) for p in statement.pragmas for n in re.findall(r"GCC unroll (\d+)", p)]
    if not isinstance(statement, ir.For):
        return inside + 1
    trip = int(statement.high) if statement.high.isdigit() else greatest.get(statement.high, 64)
    return max(1, inside) * min([trip, *times]) if times else inside + 1


def _drop_unused(body: ir.Block) -> bool:
    used = mentions(body) | {
        word for s in ir.walk(body) for p in s.pragmas for word in re.findall(r"\w+", p)
    }
    dropped = False
    for statement in list(ir.walk(body)):
        inside = [statement] if isinstance(statement, ir.Block) else ir.children(statement)
        for block in inside:
            kept = [
                s
                for s in block.items
                if not (isinstance(s, ir.Decl) and s.is_const and s.name not in used)
            ]
            dropped = dropped or len(kept) != len(block.items)
            block.items[:] = kept
    return dropped


def _flatten(block: ir.Block) -> None:
    """Take away braces that keep no names apart."""
    for item in list(block.items):
        for inner in ir.children(item):
            _flatten(inner)
        if not isinstance(item, ir.Block) or item.pragmas:
            continue
        own = {s.name for s in item.items if isinstance(s, ir.Decl)}
        place = block.items.index(item)
        others = ir.Block([*block.items[:place], *block.items[place + 1 :]])
        declared = {s.name for s in ir.walk(others) if isinstance(s, ir.Decl)}
        if own.isdisjoint(declared | mentions(others)):
            block.items[place : place + 1] = item.items


def _fitting(pragma: str, loop: ir.For) -> str:
    match = _COLLAPSE.search(pragma)
    if match is None:
        return pragma
    depth = min(int(match[1]), perfect_depth(loop))
    return _COLLAPSE.sub(f" collapse({depth})" if depth > 1 else "", pragma)


def perfect_depth(loop: ir.For) -> int:
    """How many loops are perfectly nested from this one on, with bounds that stay the same."""
    outer: list[str] = []
    depth = 0
    current: ir.For | None = loop
    while current is not None:
        used = names(current.low) | names(current.high) | names(current.step)
        if not used.isdisjoint(outer) or (depth and current.pragmas):
            break
        depth += 1
        outer.append(current.var)
        items = current.body.items
        only = items[0] if len(items) == 1 else None
        current = only if isinstance(only, ir.For) else None
    return depth
