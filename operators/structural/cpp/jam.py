"""Unroll-and-jam: several iterations of an outer loop side by side in the innermost one."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from operators.structural.cpp import ir
from operators.structural.cpp.affine import Poly
from operators.structural.cpp.analysis import View
from operators.structural.cpp.base import CppOperator, Site, describe
from operators.structural.cpp.build import UNROLL, constant, insert_before, tile
from operators.structural.cpp.taint import (
    dependents,
    inline_constants,
    rename,
    subscript_names,
    uses,
)
from operators.structural.cpp.tree import Unsupported

WIDTHS = (2, 4, 6, 8, 12)


class UnrollAndJam(CppOperator):
    """Register blocking: run R iterations of an independent outer loop together.

    Every variable that differs between these iterations becomes an array of R, every statement
    that differs a fully unrolled loop over them, as deep inside as it stands; so R accumulators are
    live at once and what they share is loaded once. R is a launch parameter. The iterations must be
    independent, as far as affine analysis shows; pointers with different names are trusted not to
    overlap. What it may break: too many accumulators spill, which is slow but right.
    """

    name: ClassVar[str] = "cpp_unroll_and_jam"
    weight: ClassVar[float] = 0.1

    def sites(self, view: View) -> list[Site]:
        """Independent loops around other loops, hot ones first in weight."""
        return [
            Site(
                f"unroll and jam {describe(view, f)} by {width}",
                _preference(view, f),
                partial(_jam, view, f, width),
            )
            for f in view.hot_loops
            if _fits(view, f)
            for width in (4, 8)
        ]


def _preference(view: View, loop: ir.For) -> float:
    """Hot loops first, those with iterations that read the same elements in the innermost loop.

    A loop whose results lie side by side in memory is better made vectors.
    """
    side_by_side = any(
        r.is_write and r.index.coefficient(loop.var) == Poly.constant(1)
        for r in view.within(loop)
        if r.name not in view.private(loop)
    )
    reads = [r for r in view.within(loop) if not r.is_write and len(r.loops) > 1]
    deep = max((len(r.loops) for r in reads), default=0)
    shared = any(loop.var not in r.index.names for r in reads if len(r.loops) == deep)
    return (0.02 + view.share(loop)) * (0.05 if side_by_side else 1.0) * (1.0 if shared else 0.1)


def _fits(view: View, loop: ir.For) -> bool:
    inner = [f for f in ir.loops(loop.body) if UNROLL not in f.pragmas]
    if not inner or UNROLL in loop.pragmas or any("omp" in p for p in loop.pragmas):
        return False
    limits = view.trip_limits(loop)
    if loop.step != "1" or (limits is not None and limits[0] < min(WIDTHS)):
        return False
    moving = dependents(loop.body, loop.var) | {loop.var}
    if any(uses(f, moving) for f in ir.loops(loop.body)):
        return False
    return view.is_independent(loop)


def _jam(view: View, loop: ir.For, first: int) -> None:
    limits = view.trip_limits(loop)
    choices = [w for w in WIDTHS if limits is None or w <= limits[0]]
    size = view.unit.fresh("JAM")
    lane = view.unit.fresh("r")
    around = ir.enclosing(view.function.body, loop)
    path = ir.locate(view.function.body, loop)
    if path is None:
        raise Unsupported("the loop is not in the function")
    whole = tile(view, loop, size, choices, repeatable=view.is_repeatable(loop))
    if whole is None:
        raise Unsupported("the loop is too short")
    statements, block = whole
    inline_constants(block, dependents(block, loop.var))
    moving = dependents(block, loop.var)
    spread(block, loop.var, moving, size, _unrolled(lane, size), lane=f"{loop.var} + {lane}")
    target: ir.Stmt = around[0] if around else loop
    value = first if first in choices else choices[0]
    ir.replace(view.function.body, loop, statements)
    place = target if around else statements[0]
    insert_before(view.function.body, place, [constant(size, str(value), tune=choices)])


def _unrolled(lane: str, size: str) -> ir.For:
    return ir.For("int", lane, "0", size, "1", ir.Block(), pragmas=[UNROLL])


def spread(
    block: ir.Block, var: str, moving: set[str], size: str, lanes: ir.For, *, lane: str = ""
) -> None:
    """Turn each run of statements that depend on the iteration into a loop over iterations.

    Args:
        block: The body of the loop over `var`, changed in place.
        var: The loop's variable.
        moving: Variables declared in the block that differ between iterations; they become arrays.
        size: Number of iterations side by side.
        lanes: An empty loop over them.
        lane: What `var` is for one of them, in terms of the variable of `lanes`; "" leaves it.
    """
    wanted = moving | {var}
    items: list[ir.Stmt] = []
    run: list[ir.Stmt] = []

    def flush() -> None:
        if run:
            items.append(_side_by_side(list(run), var, moving, lanes, lane))
            run.clear()

    for item in block.items:
        if isinstance(item, ir.Decl) and item.name in moving:
            if item.type.startswith("constexpr") or item.pointer or (item.dims and item.init):
                raise Unsupported("a pointer, constant or filled array differs between iterations")
            kind = item.type.removeprefix("const ")
            # The array comes before the run it stands in, so that one loop fills them in order.
            items.append(ir.Decl(kind, "", item.name, [size, *item.dims]))
            if item.init is not None:
                run.append(ir.Assign(item.name, "=", item.init))
        elif isinstance(item, ir.Block | ir.For):
            inner = item.body if isinstance(item, ir.For) else item
            depends = any(uses(s, wanted) for s in ir.walk(inner))
            flush()
            if depends:
                spread(inner, var, moving, size, lanes, lane=lane)
            items.append(item)
        elif any(uses(s, wanted) for s in ir.walk(item)):
            if ir.loops(item) or any(isinstance(s, ir.Decl) for s in ir.walk(item)):
                raise Unsupported("a branch around a loop or a declaration")
            run.append(item)
        else:
            flush()
            items.append(item)
    flush()
    block.items[:] = items


def _side_by_side(
    run: list[ir.Stmt], var: str, moving: set[str], lanes: ir.For, lane: str
) -> ir.Stmt:
    loop = ir.clone(lanes)
    loop.body = ir.Block(run)
    for statement in ir.walk(loop.body):
        match statement:
            case ir.Assign():
                statement.target = subscript_names(statement.target, moving, lanes.var)
                statement.value = subscript_names(statement.value, moving, lanes.var)
            case ir.If():
                statement.condition = subscript_names(statement.condition, moving, lanes.var)
    if lane:
        rename(loop.body, {var: lane})
    return loop
