"""Finding sliding filters: sums over taps of data that move with the position."""

from __future__ import annotations

from dataclasses import dataclass

from operators.structural.cpp import ir
from operators.structural.cpp.affine import Poly
from operators.structural.cpp.analysis import View
from operators.structural.cpp.expression import factors
from operators.structural.cpp.references import Reference

_MOST_TAPS = 5


@dataclass(frozen=True, slots=True)
class Nest:
    """A sliding filter as found.

    Attributes:
        outer: Loops around the sliding one, outermost first.
        slide: The loop over positions.
        sums: The loops of the sum other than the one over taps, outermost first.
        taps: The loop over taps.
        total: The declaration of the sum's variable.
        data: The read that moves with position and tap.
        weight: The read that moves with the tap alone.
    """

    outer: tuple[ir.For, ...]
    slide: ir.For
    sums: tuple[ir.For, ...]
    taps: ir.For
    total: ir.Decl
    data: Reference
    weight: Reference


def find_nests(view: View) -> list[Nest]:
    """Every sliding filter in a function, in source order."""
    found = []
    for statement in ir.walk(view.function.body):
        if isinstance(statement, ir.Assign) and statement.op == "+=":
            nest = _nest(view, statement)
            if nest is not None:
                found.append(nest)
    return found


def _nest(view: View, update: ir.Assign) -> Nest | None:
    loops = view.around[id(update)]
    slide = next((f for f in reversed(loops) if _declares(f, update.target)), None)
    if slide is None or slide.low != "0" or slide.step != "1" or not view.is_independent(slide):
        return None
    inner = loops[loops.index(slide) + 1 :]
    if not inner or not _is_chain(slide.body, inner, update):
        return None
    reads = [r for r in view.within(inner[0]) if r.statement is update]
    if len(reads) != 2 or len(factors(update.value)) != 2 or any(r.leading for r in reads):
        return None
    return _product(view, slide, inner, reads)


def _product(
    view: View, slide: ir.For, inner: tuple[ir.For, ...], reads: list[Reference]
) -> Nest | None:
    """The nest when the sum's terms are data, moving with position and tap, times weights."""
    loops = reads[0].loops
    outer = loops[: loops.index(slide)]
    data = [r for r in reads if slide.var in r.index.names]
    weight = [r for r in reads if slide.var not in r.index.names]
    if len(data) != 1 or len(weight) != 1:
        return None
    one = Poly.constant(1)
    taps = [f for f in inner if data[0].index.coefficient(f.var) == one and _few(view, f)]
    taps = [f for f in taps if f.var in weight[0].index.names]
    if data[0].index.coefficient(slide.var) != one or len(taps) != 1:
        return None
    if weight[0].name in view.inner_names(0, loops):
        return None
    own = view.inner_names(0, loops) - {f.var for f in loops}
    if not all(r.index.names.isdisjoint(own) for r in reads):
        return None
    update = reads[0].statement
    name = update.target if isinstance(update, ir.Assign) else ""
    total = next(s for s in slide.body.items if isinstance(s, ir.Decl) and s.name == name)
    sums = tuple(f for f in inner if f is not taps[0])
    if not _rectangular(view, (*outer[1:], *sums)) or total.scalar_type != "float":
        return None
    return Nest(outer, slide, sums, taps[0], total, data[0], weight[0])


def _declares(loop: ir.For, name: str) -> bool:
    return any(isinstance(s, ir.Decl) and s.name == name and s.is_scalar for s in loop.body.items)


def _is_chain(body: ir.Block, inner: tuple[ir.For, ...], update: ir.Assign) -> bool:
    """Whether the body holds declarations, one perfect nest ending in `update`, and the rest."""
    if inner[0] not in body.items:
        return False
    before = body.items[: body.items.index(inner[0])]
    behind = body.items[body.items.index(inner[0]) + 1 :]
    if not all(isinstance(s, ir.Decl) for s in before) or ir.loops(ir.Block(behind)):
        return False
    wanted: tuple[ir.Stmt, ...] = (*inner[1:], update)
    return all(f.body.items == [s] for f, s in zip(inner, wanted, strict=True))


def _few(view: View, loop: ir.For) -> bool:
    trip = view.trip(loop)
    return trip is not None and 2 <= trip <= _MOST_TAPS and loop.low == "0"


def _rectangular(view: View, loops: tuple[ir.For, ...]) -> bool:
    return all(view.trip(f) is not None and f.low == "0" for f in loops)
