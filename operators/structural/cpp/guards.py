"""Branches out of loops: bounds that already say what a guard asks, loops split where it holds."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from operators.structural.cpp import ir
from operators.structural.cpp.affine import Poly
from operators.structural.cpp.analysis import View
from operators.structural.cpp.base import CppOperator, Site, describe
from operators.structural.cpp.build import insert_before
from operators.structural.cpp.expression import parenthesised
from operators.structural.cpp.halo import nonnegative_parts
from operators.structural.cpp.tree import Unsupported


class TightenBounds(CppOperator):
    """Move a guard that is a loop's whole body into the loop's bounds.

    `for k < K: if (l + k >= 1 && ...) s;` becomes `for k from max(0, 1 - l) to min(K, ...)`.
    What it may break: nothing; a loop with bounds that vary may vectorise worse.
    """

    name: ClassVar[str] = "cpp_tighten_bounds"
    weight: ClassVar[float] = 0.02

    def sites(self, view: View) -> list[Site]:
        """Loops whose body is one guard, apart from constants it needs."""
        found = []
        for loop in view.hot_loops:
            guard = _only_guard(loop)
            if guard is None or loop.pragmas or loop.step != "1":
                continue
            limits = nonnegative_parts(guard.condition, view, guard)
            if limits and all(_unit(q, loop.var) for q in limits):
                note = f"guard into the bounds of {describe(view, loop)}"
                found.append(Site(note, 1.0, partial(_tighten, view, loop, guard, limits)))
        return found


def _only_guard(loop: ir.For) -> ir.If | None:
    *before, last = loop.body.items or [ir.Raw("")]
    constants = all(isinstance(s, ir.Decl) and s.is_const for s in before)
    plain = isinstance(last, ir.If) and last.otherwise is None
    return last if isinstance(last, ir.If) and plain and constants else None


def _unit(limit: Poly, var: str) -> bool:
    factor = limit.coefficient(var)
    return factor is not None and factor.number in (1, -1)


def _tighten(view: View, loop: ir.For, guard: ir.If, limits: list[Poly]) -> None:
    private = view.private(loop)
    declared: list[ir.Stmt] = []
    for limit in limits:
        moving = Poly.atom(loop.var)
        rising = limit.coefficient(loop.var) == Poly.constant(1)
        bound = moving - limit if rising else limit + moving + Poly.constant(1)
        if not bound.names.isdisjoint(private | {loop.var}):
            raise Unsupported("the bound changes inside the loop")
        name = view.unit.fresh(f"{loop.var}_{'low' if rising else 'high'}")
        old = loop.low if rising else loop.high
        text = parenthesised(bound.text())
        sign = ">" if rising else "<"
        init = f"{text} {sign} {old} ? {text} : {old}"
        declared.append(ir.Decl(f"const {loop.type}", "", name, [], init))
        if rising:
            loop.low = name
        else:
            loop.high = name
    insert_before(view.function.body, loop, declared)
    ir.replace(loop.body, guard, guard.then.items)


class PeelEdges(CppOperator):
    """Split a loop where a guard inside it starts or stops to hold for good.

    The middle part loses the guard; the first and last iterations keep it. Needs constant bounds,
    and interval analysis of the guard over the loops inside. What it may break: nothing; the code
    grows.
    """

    name: ClassVar[str] = "cpp_peel_edges"
    weight: ClassVar[float] = 0.03

    def sites(self, view: View) -> list[Site]:
        """Loops with a guard inside that always holds in their middle."""
        found = []
        for guard in ir.walk(view.function.body):
            if not isinstance(guard, ir.If) or guard.otherwise is not None:
                continue
            limits = nonnegative_parts(guard.condition, view, guard)
            for loop in view.around[id(guard)]:
                middle = _middle(view, loop, guard, limits or [])
                if middle is not None and not loop.pragmas:
                    note = f"split {describe(view, loop)} at {middle[0]} and {middle[1]}"
                    found.append(Site(note, 1.0, partial(_peel, view, loop, guard, middle)))
        return found


def _middle(view: View, loop: ir.For, guard: ir.If, limits: list[Poly]) -> tuple[int, int] | None:
    """Iterations [first, behind) of the loop in which the guard always holds."""
    low, high = view.number(loop.low, loop), view.number(loop.high, loop)
    if low is None or high is None or loop.step != "1" or not limits:
        return None
    first, behind = low, high
    around = view.around[id(guard)]
    inner = around[around.index(loop) + 1 :]
    for limit in limits:
        span = view.span(limit, inner)
        if span is None:
            return None
        factor = limit.coefficient(loop.var)
        rest = (span[0] - (factor or Poly.constant(0)) * Poly.atom(loop.var)).number
        if factor is None or factor.number not in (1, -1) or rest is None:
            return None
        if factor.number == 1:
            first = max(first, -rest)
        else:
            behind = min(behind, rest + 1)
    full = first == low and behind == high
    return (first, behind) if first < behind and (not full or limits) else None


def _peel(view: View, loop: ir.For, guard: ir.If, middle: tuple[int, int]) -> None:
    low, high = view.number(loop.low, loop), view.number(loop.high, loop)
    first, behind = middle
    parts: list[ir.Stmt] = []
    for start, end in ((low, first), (behind, high)):
        part = ir.clone(loop)
        part.low, part.high = str(start), str(end)
        parts.append(part)
    ir.replace(loop.body, guard, guard.then.items)
    whole = [parts[0], loop, parts[1]]
    keep = [
        part for part, some in zip(whole, (low != first, True, behind != high), strict=True) if some
    ]
    loop.low = loop.low if low == first else str(first)
    loop.high = loop.high if behind == high else str(behind)
    ir.replace(view.function.body, loop, keep)
