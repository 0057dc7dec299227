"""The order of iterations: interchange, tiling, sums expanded over a loop."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from operators.structural.cpp import ir
from operators.structural.cpp.analysis import View
from operators.structural.cpp.base import CppOperator, Site, describe
from operators.structural.cpp.build import UNROLL, constant, insert_before
from operators.structural.cpp.expression import names, parenthesised
from operators.structural.cpp.jam import spread
from operators.structural.cpp.pragmas import array_sums, sums
from operators.structural.cpp.taint import dependents, inline_constants, uses
from operators.structural.cpp.tree import Unsupported

TILES = (8, 16, 32, 64, 128)
_MOST_EXPANDED = 1 << 14


def exchangeable(view: View, outer: ir.For, inner: ir.For) -> bool:
    """Whether two perfectly nested loops may change places."""
    if outer.body.items != [inner] or UNROLL in (*outer.pragmas, *inner.pragmas):
        return False
    if any("omp" in p and "simd" not in p for p in (*outer.pragmas, *inner.pragmas)):
        return False
    bounds = names(inner.low) | names(inner.high) | names(inner.step)
    if outer.var in bounds:
        return False
    return bool(
        view.is_independent(outer)
        or sums(view, outer) is not None
        or array_sums(view, outer) is not None
    )


class Interchange(CppOperator):
    """Exchange two perfectly nested loops.

    The outer loop's iterations must be independent, or only add to sums. What it may break: the
    order of a sum, thus its last bits.
    """

    name: ClassVar[str] = "cpp_interchange"
    weight: ClassVar[float] = 0.04

    def sites(self, view: View) -> list[Site]:
        """Perfect pairs of loops."""
        found = []
        for outer in view.hot_loops:
            inner = outer.body.items[0] if len(outer.body.items) == 1 else None
            if isinstance(inner, ir.For) and exchangeable(view, outer, inner):
                note = f"exchange {describe(view, outer)} with {inner.var}"
                found.append(Site(note, 1.0, partial(_exchange, outer, inner)))
        return found


def _exchange(outer: ir.For, inner: ir.For) -> None:
    mine = (outer.type, outer.var, outer.low, outer.high, outer.step)
    outer.type, outer.var, outer.low, outer.high, outer.step = (
        inner.type,
        inner.var,
        inner.low,
        inner.high,
        inner.step,
    )
    inner.type, inner.var, inner.low, inner.high, inner.step = mine
    outer.pragmas = [p for p in outer.pragmas if "simd" not in p and "ivdep" not in p]
    inner.pragmas = [p for p in inner.pragmas if "simd" not in p and "ivdep" not in p]


class Tile(CppOperator):
    """Cut the inner one of two perfectly nested loops into tiles and take these outside.

    `for v: for u` becomes `for tiles of u: for v: for u in the tile`; the tile size is a launch
    parameter. Legal where the loops may be exchanged. What it may break: the order of a sum.
    """

    name: ClassVar[str] = "cpp_tile"
    weight: ClassVar[float] = 0.04

    def sites(self, view: View) -> list[Site]:
        """Perfect pairs whose inner loop is longer than the smallest tile."""
        found = []
        for outer in view.hot_loops:
            inner = outer.body.items[0] if len(outer.body.items) == 1 else None
            if not isinstance(inner, ir.For) or not exchangeable(view, outer, inner):
                continue
            limits = view.trip_limits(inner)
            if inner.step == "1" and (limits is None or limits[0] > TILES[0]):
                note = f"tile {describe(view, inner)}"
                found.append(Site(note, 1.0, partial(_tile, view, outer, inner)))
        return found


def _tile(view: View, outer: ir.For, inner: ir.For) -> None:
    trip, limits = view.trip(inner), view.trip_limits(inner)
    choices = [c for c in TILES if limits is None or c < limits[0]]
    whole = [c for c in choices if trip is not None and trip % c == 0]
    size, first = view.unit.fresh("TILE"), view.unit.fresh(f"{inner.var}_tile")
    start, end = first, f"{first} + {size}"
    head: list[ir.Stmt] = []
    kind = f"const {inner.type}"
    if len(whole) >= 2:
        choices = whole
    elif limits is not None and view.is_repeatable(outer):
        start = view.unit.fresh(f"{inner.var}_first")
        last = f"{inner.high} - {size}"
        head = [ir.Decl(kind, "", start, [], f"{first} < {last} ? {first} : {last}")]
        end = f"{start} + {size}"
    else:
        end = view.unit.fresh(f"{inner.var}_end")
        init = f"{first} + {size} < {inner.high} ? {first} + {size} : {inner.high}"
        head = [ir.Decl(kind, "", end, [], init)]
    value = min(choices, key=lambda c: abs(c - 32))
    around = ir.enclosing(view.function.body, outer)
    tiles = ir.For(inner.type, first, inner.low, inner.high, size, ir.Block([*head, outer]))
    ir.replace(view.function.body, outer, [tiles])
    inner.low, inner.high = start, end
    place = around[0] if around else tiles
    insert_before(view.function.body, place, [constant(size, str(value), tune=choices)])


class ExpandSums(CppOperator):
    """Make a loop the innermost one by giving each iteration its own copy of the variables.

    `for l: { sum = 0; for k: sum += e; out = sum; }` becomes three loops over l, the second inside
    the loop over k, with an array of sums: rows instead of dot products. The iterations must be
    independent. What it may break: nothing; the array costs memory traffic.
    """

    name: ClassVar[str] = "cpp_expand_sums"
    weight: ClassVar[float] = 0.03

    def sites(self, view: View) -> list[Site]:
        """Independent loops around other loops, of a known and moderate length."""
        found = []
        for loop in view.hot_loops:
            limits = view.trip_limits(loop)
            inner = ir.loops(loop.body)
            if limits is None or limits[1] > _MOST_EXPANDED or loop.low != "0":
                continue
            if not inner or any(
                "omp" in p or "unroll" in p for f in (loop, *inner) for p in f.pragmas
            ):
                continue
            moving = dependents(loop.body, loop.var) | {loop.var}
            if any(uses(f, moving) for f in inner) or not view.is_independent(loop):
                continue
            note = f"expand the sums over {describe(view, loop)}"
            found.append(Site(note, 1.0, partial(_expand, view, loop)))
        return found


def _expand(view: View, loop: ir.For) -> None:
    inline_constants(loop.body, dependents(loop.body, loop.var))
    moving = dependents(loop.body, loop.var)
    lanes = ir.For(loop.type, loop.var, loop.low, loop.high, "1", ir.Block())
    spread(loop.body, loop.var, moving, parenthesised(loop.high), lanes)
    if any(isinstance(s, ir.Decl) and len(s.dims) > 1 for s in ir.walk(loop.body)):
        raise Unsupported("an array per iteration")
    ir.replace(view.function.body, loop, loop.body.items)
