"""Loops put together and taken apart: fusion, fission, full unrolling."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import ClassVar

from operators.structural.cpp import ir
from operators.structural.cpp.analysis import View
from operators.structural.cpp.base import CppOperator, Site, describe
from operators.structural.cpp.build import UNROLL
from operators.structural.cpp.expression import accesses
from operators.structural.cpp.pragmas import sums
from operators.structural.cpp.references import mentions
from operators.structural.cpp.taint import inline_constants, rename
from operators.structural.cpp.tree import Unsupported

_MOST_UNROLLED = 8


class Fuse(CppOperator):
    """Run two loops with the same bounds, one after the other, as one.

    Declarations between them that do not need the first one's results move in front. Legal where
    the loops share elements only within one iteration. What it may break: nothing, unless two
    pointers overlap.
    """

    name: ClassVar[str] = "cpp_fuse"
    weight: ClassVar[float] = 0.06

    def sites(self, view: View) -> list[Site]:
        """Pairs of neighbouring loops."""
        found = []
        for block in _blocks(view.function.body):
            loops = [s for s in block.items if isinstance(s, ir.For)]
            for first, second in pairwise(loops):
                if _can_fuse(view, block, first, second):
                    note = f"fuse {describe(view, first)} with the next loop over {second.var}"
                    found.append(Site(note, 1.0, partial(_fuse, block, first, second)))
        return found


def _blocks(body: ir.Block) -> list[ir.Block]:
    found = [body]
    for statement in ir.walk(body):
        if statement is not body:
            found += [statement] if isinstance(statement, ir.Block) else ir.children(statement)
    return found


def _between(block: ir.Block, first: ir.For, second: ir.For) -> list[ir.Stmt]:
    return block.items[block.items.index(first) + 1 : block.items.index(second)]


def _can_fuse(view: View, block: ir.Block, first: ir.For, second: ir.For) -> bool:
    if any("omp" in p and "simd" not in p for f in (first, second) for p in f.pragmas):
        return False
    same = all(
        view.resolve(getattr(first, end), first) == view.resolve(getattr(second, end), second)
        for end in ("low", "high", "step")
    )
    if not same or view.is_opaque(first) or view.is_opaque(second):
        return False
    written = _scalars_written(first)
    between = _between(block, first, second)
    for statement in between:
        if not isinstance(statement, ir.Decl) or mentions(statement) & written:
            return False
        if any(
            a.base in _arrays_written(view, first)
            for e in ir.expressions(statement)
            for a in accesses(e)
        ):
            return False
    if mentions(second) & written or _scalars_written(second) & mentions(first):
        return False
    return _elementwise(view, first, second)


def _scalars_written(loop: ir.For) -> set[str]:
    private = {s.name for s in ir.walk(loop) if isinstance(s, ir.Decl)}
    return {
        s.target
        for s in ir.walk(loop)
        if isinstance(s, ir.Assign) and not accesses(s.target) and s.target not in private
    }


def _arrays_written(view: View, loop: ir.For) -> set[str]:
    return {r.base for r in view.within(loop) if r.is_write}


def _elementwise(view: View, first: ir.For, second: ir.For) -> bool:
    """Whether elements that one loop writes meet the other only in the same iteration."""
    private = view.private(first) | view.private(second)
    pairs = ((a, b) for a in view.within(first) for b in view.within(second))
    return all(
        view.is_apart(first, a, b, second)
        for a, b in pairs
        if a.base == b.base and (a.is_write or b.is_write) and a.name not in private
    )


def _fuse(block: ir.Block, first: ir.For, second: ir.For) -> None:
    between = _between(block, first, second)
    if second.var != first.var:
        rename(second.body, {second.var: first.var})
    clash = {s.name for s in first.body.items if isinstance(s, ir.Decl)} & {
        s.name for s in second.body.items if isinstance(s, ir.Decl)
    }
    body = second.body.items
    if clash:
        same = {
            s.name
            for s in first.body.items
            for t in second.body.items
            if isinstance(s, ir.Decl)
            and isinstance(t, ir.Decl)
            and (s.name, s.type, s.init, s.dims) == (t.name, t.type, t.init, t.dims)
            and s.is_const
        }
        if clash - same:
            body = [ir.Block(body)]
        else:
            body = [s for s in body if not (isinstance(s, ir.Decl) and s.name in same)]
    first.body.items.extend(body)
    first.pragmas = _joined(first.pragmas, second.pragmas)
    place = block.items.index(first)
    block.items[place : block.items.index(second) + 1] = [*between, first]


def _joined(first: list[str], second: list[str]) -> list[str]:
    """Directives that hold for both loops: reductions together, others only if on both."""
    simd = [p for p in (*first, *second) if p.startswith("#pragma omp simd")]
    if len(simd) == 2 and "simdlen" not in "".join(simd):
        names = [p.partition("reduction(+ :")[2].rstrip(") ").strip() for p in simd]
        clause = ", ".join(n for n in names if n)
        return [f"#pragma omp simd reduction(+ : {clause})" if clause else "#pragma omp simd"]
    return [p for p in first if p in second and "reduction" not in p]


class Fission(CppOperator):
    """Split a loop with several statements into two loops.

    Integer constants that both halves need are computed in both. Legal where the iterations are
    independent but for sums. What it may break: nothing, unless two pointers overlap.
    """

    name: ClassVar[str] = "cpp_fission"
    weight: ClassVar[float] = 0.02

    def sites(self, view: View) -> list[Site]:
        """Loops with two statements that share no variable of the iteration."""
        found = []
        for loop in view.hot_loops:
            if UNROLL in loop.pragmas or any("omp" in p and "simd" not in p for p in loop.pragmas):
                continue
            if sums(view, loop) is None or any("reduction" in p for p in loop.pragmas):
                continue
            for place in range(1, len(loop.body.items)):
                if _splits(loop, place):
                    note = f"split {describe(view, loop)} after statement {place}"
                    found.append(Site(note, 1.0, partial(_split, view.function.body, loop, place)))
        return found


def _splits(loop: ir.For, place: int) -> bool:
    before, behind = ir.Block(loop.body.items[:place]), ir.Block(loop.body.items[place:])
    if any(isinstance(s, ir.Raw) for s in loop.body.items):
        return False
    if all(isinstance(s, ir.Decl) for s in before.items):
        return False
    declared = {s for s in before.items if isinstance(s, ir.Decl)}
    used = mentions(behind)
    return all(d.name not in used or (d.is_const and d.init is not None) for d in declared)


def _split(body: ir.Block, loop: ir.For, place: int) -> None:
    wanted = {s.name for s in loop.body.items[:place] if isinstance(s, ir.Decl)}
    later = ir.clone(loop)
    used = mentions(ir.Block(later.body.items[place:]))
    needed: list[ir.Stmt] = [
        s for s in later.body.items[:place] if isinstance(s, ir.Decl) and s.name in wanted & used
    ]
    for statement in reversed(needed):
        if mentions(statement) & wanted - {s.name for s in needed if isinstance(s, ir.Decl)}:
            raise Unsupported("a constant needs another one")
    later.body.items[:place] = needed
    del loop.body.items[place:]
    ir.replace(body, loop, [loop, later])


class FullUnroll(CppOperator):
    """Write out a loop of at most 8 iterations.

    Breaks nothing.
    """

    name: ClassVar[str] = "cpp_full_unroll"
    weight: ClassVar[float] = 0.02

    def sites(self, view: View) -> list[Site]:
        """Loops with a fixed, small number of iterations."""
        found = []
        for loop in ir.loops(view.function.body):
            trip, low = view.trip(loop), view.number(loop.low, loop)
            if trip is None or low is None or not 1 <= trip <= _MOST_UNROLLED:
                continue
            if any("omp" in p and "simd" not in p for p in loop.pragmas):
                continue
            note = f"write out {describe(view, loop)}"
            found.append(Site(note, 1.0, partial(_write_out, view, loop, low, trip)))
        return found


def _write_out(view: View, loop: ir.For, low: int, trip: int) -> None:
    made: list[ir.Stmt] = []
    for value in range(low, low + trip):
        body = ir.clone(loop.body)
        inline_constants(body, {s.name for s in body.items if isinstance(s, ir.Decl)})
        rename(body, {loop.var: str(value)})
        declares = any(isinstance(s, ir.Decl) for s in body.items)
        made.extend([body] if declares else body.items)
    ir.replace(view.function.body, loop, made)
