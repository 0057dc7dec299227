"""Making statements: loops, buffers, tiles."""

from __future__ import annotations

from collections.abc import Sequence

from operators.structural.cpp import ir
from operators.structural.cpp.affine import Poly
from operators.structural.cpp.analysis import View
from operators.structural.cpp.tree import Unsupported

# Bytes that may lie on a thread's stack; larger or unknown sizes go to the heap.
STACK_BYTES = 1 << 20
UNROLL = "#pragma GCC unroll 64"


def count(var: str, high: str, body: Sequence[ir.Stmt], *, kind: str = "int") -> ir.For:
    """`for (int var = 0; var < high; ++var) body`."""
    return ir.For(kind, var, "0", high, "1", ir.Block(list(body)))


def constant(name: str, value: str, *, tune: Sequence[int] = ()) -> ir.Decl:
    """`constexpr int name = value;`, marked as a launch parameter when there are choices."""
    tail = f"// tune: {', '.join(map(str, tune))}" if tune else ""
    return ir.Decl("constexpr int", "", name, [], value, tail)


def buffer(
    view: View, name: str, element: str, size: Poly, *, most: int | None = None
) -> list[ir.Stmt]:
    """Declare an array of `size` elements, on the stack when it is known to be small.

    `most` is the greatest size, where the caller knows it and the analysis cannot yet.
    """
    limits = view.limits(size)
    greatest = limits[1] if limits is not None else most
    width = 8 if element == "double" else 4
    if greatest is not None and greatest * width <= STACK_BYTES:
        return [ir.Decl(f"alignas(64) {element}", "", name, [size.text()])]
    view.unit.require("<vector>")
    store = view.unit.fresh(f"{name}_store")
    return [
        ir.Raw(f"std::vector<{element}> {store}({size.text()});"),
        ir.Decl(element, "*", name, [], f"{store}.data()"),
    ]


def flat(indices: Sequence[tuple[str, Poly]]) -> Poly:
    """Row-major index of (variable, extent) pairs, outermost first."""
    total = Poly.constant(0)
    for var, extent in indices:
        total = total * extent + Poly.atom(var)
    return total


def product(extents: Sequence[Poly]) -> Poly:
    """The number of elements of an array with these extents."""
    total = Poly.constant(1)
    for extent in extents:
        total = total * extent
    return total


def insert_before(root: ir.Block, target: ir.Stmt, new: Sequence[ir.Stmt]) -> None:
    """Put statements directly before `target`. Raises Unsupported when it is not in the tree."""
    path = ir.locate(root, target)
    if path is None:
        raise Unsupported("the statement is not in the tree")
    block, place = path[-1]
    block.items[place:place] = list(new)


def tile(
    view: View, loop: ir.For, size: str, choices: Sequence[int], *, repeatable: bool
) -> tuple[list[ir.Stmt], ir.Block] | None:
    """Rewrite a loop to start every `size` iterations, without changing what is inside.

    Returns (what takes the loop's place, the block that handles one tile). The tile's first
    iteration has the loop's own variable as name. Every tile is whole: the last one is moved back
    to end at the bound when an iteration may run twice, or what is left runs in a copy of the
    loop. Returns None when a tile could be longer than the loop.
    """
    trip, limits = view.trip(loop), view.trip_limits(loop)
    if limits is not None and limits[0] < max(choices):
        return None
    body = ir.Block(loop.body.items)
    tiled = ir.For(loop.type, loop.var, loop.low, loop.high, size, body, pragmas=loop.pragmas)
    if trip is not None and all(trip % c == 0 for c in choices):
        return [tiled], body
    if limits is not None and repeatable:
        first = view.unit.fresh(f"{loop.var}_tile")
        last = f"{loop.high} - {size}"
        start = ir.Decl(
            f"const {loop.type}", "", loop.var, [], f"{first} < {last} ? {first} : {last}"
        )
        tiled.var = first
        tiled.body = ir.Block([start, body])
        return [tiled], body
    main = view.unit.fresh(f"{loop.var}_whole")
    if loop.low != "0" or any(p.startswith("#pragma omp for") for p in loop.pragmas):
        raise Unsupported("a remainder needs a loop from 0 outside a worksharing construct")
    rest = ir.clone(loop)
    rest.low = main
    whole = f"{loop.high} - {loop.high} % {size}" if loop.high.isidentifier() else ""
    whole = whole or f"({loop.high}) - ({loop.high}) % {size}"
    tiled.high = main
    return [ir.Decl(f"const {loop.type}", "", main, [], whole), tiled, rest], body
