"""Guards at the edges of an array: copied into a buffer with zeros around, they are not needed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from operators.structural.cpp import ir
from operators.structural.cpp.affine import Poly
from operators.structural.cpp.analysis import View
from operators.structural.cpp.base import CppOperator, Site, element_type
from operators.structural.cpp.build import buffer, constant, count, flat, insert_before, product
from operators.structural.cpp.expression import conjuncts, factors, replace_accesses
from operators.structural.cpp.references import Reference
from operators.structural.cpp.tree import Unsupported

_COMPARISON = re.compile(r"(?P<a>[^<>=!&|]+)(?P<op><=|>=|<|>)(?P<b>[^<>=!&|]+)")


@dataclass(frozen=True, slots=True)
class Guard:
    """A guarded read and the range that the guard allows.

    Attributes:
        moving: The part of the index that the guard speaks of.
        first: Least allowed value of `moving`.
        last: Greatest allowed value.
        least: Least value of `moving` that the loops reach.
        most: Greatest value that they reach.
        read: The read.
    """

    moving: Poly
    first: Poly
    last: Poly
    least: Poly
    most: Poly
    read: Reference


def nonnegative_parts(condition: str, view: View, at: ir.Stmt) -> list[Poly] | None:
    """`a >= b && c < d` as polynomials that must not be negative; None for other conditions."""
    found = []
    for part in conjuncts(condition):
        match = _COMPARISON.fullmatch(part.strip())
        if match is None:
            return None
        a, b = view.resolve(match["a"].strip(), at), view.resolve(match["b"].strip(), at)
        if a is None or b is None:
            return None
        difference = a - b if match["op"].startswith(">") else b - a
        strict = len(match["op"]) == 1
        found.append(difference - Poly.constant(1) if strict else difference)
    return found


def find_guards(view: View, guard: ir.If) -> list[Guard]:
    """Reads under the condition that would only have to give zero where it does not hold."""
    limits = nonnegative_parts(guard.condition, view, guard)
    updates = _updates(guard)
    if limits is None or not updates:
        return []
    loops = view.around[id(guard)]
    starts = {name for name, (_, _, loop) in view.bounded.items() if loop in loops}
    moving_vars = ({f.var for f in loops} | starts) & {n for q in limits for n in q.names}
    found: dict[tuple[str, Poly], Guard] = {}
    for read in view.within(guard.then):
        if read.is_write or read.leading:
            continue
        moving = read.index.part(moving_vars)
        if not all(_has_factor(update, read.text) for update in updates):
            continue
        first = [-(q - moving) for q in limits if q.part(moving_vars) == moving]
        last = [q + moving for q in limits if q.part(moving_vars) == -moving]
        reached = view.span(moving, loops, frozenset(starts))
        if len(first) + len(last) != len(limits) or reached is None or not moving.terms:
            continue
        if len(first) <= 1 and len(last) <= 1:
            least, most = reached
            first, last = first or [least], last or [most]
            item = Guard(moving, first[0], last[0], least, most, read)
            found.setdefault((read.base, read.index), item)
    return list(found.values())


def _updates(guard: ir.If) -> list[ir.Assign]:
    """What the guarded statements add to sums; empty when they do anything else."""
    inside = [s for s in ir.walk(guard.then) if not isinstance(s, ir.For | ir.Block)]
    updates = [s for s in inside if isinstance(s, ir.Assign) and s.op in ("+=", "-=")]
    return updates if len(updates) == len(inside) and guard.otherwise is None else []


def _has_factor(update: ir.Assign, read: str) -> bool:
    return read in factors(update.value)


class HaloPad(CppOperator):
    """Copy the guarded array into a buffer with zeros around it, and drop the guard.

    For `if (0 <= e && e < n) sum += a[.. + e] * w;` where the read is a factor: outside the range
    it then adds zero. The rows that one iteration of the outermost loop needs go into a buffer of
    that iteration. What it may break: a product of zero with an infinite or undefined factor is not
    zero; and a guard that protects something else besides this read is gone.
    """

    name: ClassVar[str] = "cpp_halo_pad"
    weight: ClassVar[float] = 0.08

    def sites(self, view: View) -> list[Site]:
        """One site per guarded read and sensible level."""
        found = []
        for guard in ir.walk(view.function.body):
            if not isinstance(guard, ir.If):
                continue
            for item in find_guards(view, guard):
                found += [_site(view, guard, item, level) for level in _levels(view, item)]
        return found


def _levels(view: View, guard: Guard) -> list[int]:
    """Numbers of enclosing loops inside which the buffer may lie, best first."""
    loops = guard.read.loops
    base = guard.read.index - guard.moving
    fixed = [i for i, f in enumerate(loops) if f.var in base.names]
    tiles = {view.bounded[n][2] for n in guard.moving.names if n in view.bounded}
    moving = min(i for i, f in enumerate(loops) if f.var in guard.moving.names or f in tiles)
    best = fixed[0] + 1 if fixed else 0
    return [best] if best <= moving else []


def _site(view: View, guard: ir.If, item: Guard, level: int) -> Site:
    loops = item.read.loops
    where = f"per {loops[level - 1].var}" if level else "once"

    def edit() -> None:
        _pad(view, guard, item, level)

    return Site(f"pad {item.read.name} with zeros {where}, drop the guard", 1.0, edit)


def _pad(view: View, guard: ir.If, item: Guard, level: int) -> None:
    read, unit = item.read, view.unit
    left, right = (item.first - item.least).number, (item.most - item.last).number
    if left is None or right is None:
        raise Unsupported("the width of the padding is not a number")
    left, right = max(left, 0), max(right, 0)
    base = read.index - item.moving
    lead = [f for f in read.loops[level:] if f.var in base.names]
    extents = []
    for loop in lead:
        low, high = view.resolve(loop.low, loop), view.resolve(loop.high, loop)
        if low is None or high is None or low.number != 0 or loop.step != "1":
            raise Unsupported("a loop over rows does not start at 0")
        extents.append(high)
    inside = item.last - item.first + Poly.constant(1)
    inside_level = view.inner_names(level, read.loops) - {f.var for f in lead}
    if not base.names.isdisjoint(inside_level):
        raise Unsupported("a row that is not the loops' own")
    element = element_type(view, read.name)
    name = unit.fresh(f"{read.base}_padded")
    width = Poly.atom(unit.fresh(f"{name}_row"))
    row_width = inside + Poly.constant(left + right)
    row = [(f.var, e) for f, e in zip(lead, extents, strict=True)]
    column = unit.fresh("column")
    start = flat(row) * width
    source = read.base + f"[{(base + item.first + Poly.atom(column)).text()}]"

    def fill(low: Poly, size: Poly, value: str) -> ir.Stmt:
        target = f"{name}[{(start + low + Poly.atom(column)).text()}]"
        return count(column, size.text(), [ir.Assign(target, "=", value)])

    copy: list[ir.Stmt] = [fill(Poly.constant(left), inside, source)]
    if left:
        copy.insert(0, fill(Poly.constant(0), Poly.constant(left), "0.0f"))
    if right:
        copy.append(fill(inside + Poly.constant(left), Poly.constant(right), "0.0f"))
    for loop in reversed(lead):
        copy = [count(loop.var, loop.high, copy, kind=loop.type)]
    size = product([*extents, row_width])
    kind = "constexpr" if row_width.number is not None else "const"
    width_decl = constant(width.text(), row_width.text())
    width_decl.type = f"{kind} int"
    target = read.loops[level] if level < len(read.loops) else guard
    new_index = (start + item.moving - item.first + Poly.constant(left)).text()
    insert_before(
        view.function.body, target, [width_decl, *buffer(view, name, element, size), *copy]
    )
    _unguard(view, guard, read, f"{name}[{new_index}]")


def _unguard(view: View, guard: ir.If, read: Reference, new: str) -> None:
    for update in _updates(guard):
        update.value = replace_accesses(
            update.value, lambda access: new if access.text == read.text else None
        )
    ir.replace(view.function.body, guard, guard.then.items)
