"""Sums that all threads add to: one copy per thread, added up at the end."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from operators.structural.cpp import ir
from operators.structural.cpp.affine import Poly
from operators.structural.cpp.analysis import View
from operators.structural.cpp.base import CppOperator, Site, describe, element_type
from operators.structural.cpp.build import buffer, count, insert_before
from operators.structural.cpp.expression import replace_accesses
from operators.structural.cpp.pragmas import array_sums
from operators.structural.cpp.references import Reference
from operators.structural.cpp.tree import Unsupported

_ATOMIC = "#pragma omp atomic"


class PrivatiseReduction(CppOperator):
    """Give each thread its own copy of an array that a loop adds to, and add the copies up.

    For a loop over rows whose iterations only add to `sum[c]`, with an atomic addition or without
    threads: the loop becomes parallel, each thread adds to a private array, and the arrays are
    added up in a critical section behind the loop. Or the same by an OpenMP array reduction. What
    it may break: the order of the sums, which then depends on the number of threads (not on
    chance, with a static schedule, except for the order in which threads add their copies).
    """

    name: ClassVar[str] = "cpp_privatise_reduction"
    weight: ClassVar[float] = 0.06

    def sites(self, view: View) -> list[Site]:
        """Loops that only add to arrays whose reach is known."""
        found = []
        for loop in ir.loops(view.function.body):
            around = ir.enclosing(view.function.body, loop)
            if any("omp" in p for s in around for p in s.pragmas) or any(
                "omp for" in p or "reduction" in p for p in loop.pragmas
            ):
                continue
            added = array_sums(view, loop)
            if not added or not ir.loops(loop.body):
                continue
            reach = {name: _reach(view, loop, name) for name in added}
            if any(size is None for size in reach.values()):
                continue
            sizes = {name: size for name, size in reach.items() if size is not None}
            names, where = " and ".join(sizes), describe(view, loop)
            found.append(
                Site(
                    f"a private {names} per thread over {where}",
                    2.0,
                    partial(_copies, view, loop, sizes),
                )
            )
            found.append(
                Site(
                    f"reduction clause for {names} over {where}",
                    1.0,
                    partial(_clause, view, loop, sizes),
                )
            )
        return found


def _reach(view: View, loop: ir.For, name: str) -> Poly | None:
    """How many elements from the first the loop may add to; None when that depends on the loop."""
    most: Poly | None = None
    for reference in view.within(loop):
        if reference.base != name:
            continue
        inner = reference.loops[reference.loops.index(loop) + 1 :]
        span = view.span(reference.index, inner, view.private(loop))
        if span is None or span[0].number != 0 or loop.var in span[1].names:
            return None
        if not span[1].names.isdisjoint(view.private(loop)) or (most and most != span[1]):
            return None
        most = span[1]
    return most + Poly.constant(1) if most is not None else None


def _without_atomics(loop: ir.For, names: set[str]) -> None:
    for statement in ir.walk(loop):
        if isinstance(statement, ir.Assign) and statement.target.split("[")[0] in names:
            statement.pragmas = [p for p in statement.pragmas if not p.startswith(_ATOMIC)]


def _clause(view: View, loop: ir.For, sizes: dict[str, Poly]) -> None:
    _check_names(view, loop, sizes)
    _without_atomics(loop, set(sizes))
    arrays = ", ".join(f"{name}[0 : {size.text()}]" for name, size in sizes.items())
    pragma = next((p for p in loop.pragmas if "parallel for" in p), "#pragma omp parallel for")
    rest = [p for p in loop.pragmas if "omp" not in p]
    loop.pragmas = [f"{pragma} reduction(+ : {arrays})", *rest]


def _check_names(view: View, loop: ir.For, sizes: dict[str, Poly]) -> None:
    references: list[Reference] = [r for r in view.within(loop) if r.base in sizes]
    if any(r.name != r.base for r in references):
        raise Unsupported("the array is reached through another pointer")


def _copies(view: View, loop: ir.For, sizes: dict[str, Poly]) -> None:
    _check_names(view, loop, sizes)
    unit = view.unit
    _without_atomics(loop, set(sizes))
    before: list[ir.Stmt] = []
    combine: list[ir.Stmt] = []
    renames = {name: unit.fresh(f"{name}_part") for name in sizes}
    for name, size in sizes.items():
        part, at = renames[name], unit.fresh("e")
        before += buffer(view, part, element_type(view, name), size)
        before.append(count(at, size.text(), [ir.Assign(f"{part}[{at}]", "=", "0.0f")]))
        combine.append(count(at, size.text(), [ir.Assign(f"{name}[{at}]", "+=", f"{part}[{at}]")]))
    for statement in ir.walk(loop):
        if isinstance(statement, ir.Assign):
            statement.target = replace_accesses(
                statement.target,
                lambda a: f"{renames[a.base]}[{a.indices[0]}]" if a.base in renames else None,
            )
    clauses = next((p for p in loop.pragmas if "parallel for" in p), "#pragma omp parallel for")
    inner = clauses.replace("parallel for", "for nowait")
    critical = ir.Block(combine, pragmas=["#pragma omp critical"])
    region = ir.Block([*before, loop, critical], pragmas=["#pragma omp parallel"])
    insert_before(view.function.body, loop, [region])
    path = ir.locate(view.function.body, region)
    if path is None:
        raise Unsupported("the loop is not in the function")
    block, place = path[-1]
    del block.items[place + 1]
    loop.pragmas = [inner, *(p for p in loop.pragmas if "omp" not in p)]
