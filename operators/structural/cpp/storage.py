"""Where values live: packed copies of arrays, scalars for elements, values computed again."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from operators.structural.cpp import ir
from operators.structural.cpp.affine import Poly
from operators.structural.cpp.analysis import View
from operators.structural.cpp.base import CppOperator, Site, describe, element_type
from operators.structural.cpp.build import buffer, constant, insert_before, product
from operators.structural.cpp.expression import accesses, replace_accesses
from operators.structural.cpp.pragmas import is_innermost, sums
from operators.structural.cpp.references import Reference
from operators.structural.cpp.taint import rename
from operators.structural.cpp.tree import Unsupported

_MOST_PACKED = 1 << 22
_REAL = ("float", "double")
PARTS = (16, 32, 64)


class Pack(CppOperator):
    """Copy an array into a buffer in the order in which a loop nest reads it.

    The buffer is filled once per call, in front of the outermost loop, by the same loops that read
    it; where threads run the nest they also share the copying. For arrays that the function does
    not write. What it may break: nothing; copying costs time, and more memory is touched.
    """

    name: ClassVar[str] = "cpp_pack"
    weight: ClassVar[float] = 0.03

    def sites(self, view: View) -> list[Site]:
        """Reads inside loops of known length that are not in order already."""
        written = {r.base for r in view.references if r.is_write}
        found: dict[str, Site] = {}
        for read in view.references:
            if read.base in written or read.leading or read.base not in view.function.params:
                continue
            loops = [f for f in read.loops if f.var in read.index.names]
            if len(loops) < 2 or read.lanes.number != 1 or not _known(view, loops):
                continue
            inside = view.inner_names(0, read.loops) - {f.var for f in loops}
            if not read.index.names.isdisjoint(inside):
                continue
            order = _packed_index(view, loops)
            if order is None or order[1] > _MOST_PACKED or order[0] == read.index:
                continue
            note = f"pack {read.base} as {' '.join(f.var for f in loops)}"
            site = Site(note, 1.0, partial(_pack, view, read, loops))
            found.setdefault(note, site)
        return list(found.values())


def _known(view: View, loops: list[ir.For]) -> bool:
    variables = {f.var for f in loops}
    for loop in loops:
        if loop.low != "0" or view.resolve(loop.high, loop) is None:
            return False
        high = view.resolve(loop.high, loop)
        if high is None or view.limits(high) is None or not high.names.isdisjoint(variables):
            return False
    return True


def _packed_index(view: View, loops: list[ir.For]) -> tuple[Poly, int] | None:
    """(index in the buffer, greatest size)."""
    index, size = Poly.constant(0), 1
    for loop in loops:
        extent, place = _extent(view, loop)
        limits = view.limits(view.resolve(loop.high, loop) or Poly.constant(0))
        if limits is None:
            return None
        index = index * extent + place
        size *= limits[1]
    return index, size


def _extent(view: View, loop: ir.For) -> tuple[Poly, Poly]:
    """(number of iterations, number of the present one)."""
    high = view.resolve(loop.high, loop) or Poly.constant(0)
    if loop.step == "1":
        return high, Poly.atom(loop.var)
    text = f"({high.text()} + {loop.step} - 1) / {loop.step}"
    return Poly.atom(text), Poly.atom(f"{loop.var} / {loop.step}")


def _pack(view: View, read: Reference, loops: list[ir.For]) -> None:
    packed = _packed_index(view, loops)
    if packed is None:
        raise Unsupported("an extent is not known")
    index, most = packed
    name = view.unit.fresh(f"{read.base}_packed")
    size = product([_extent(view, f)[0] for f in loops])
    copy: ir.Stmt = ir.Assign(f"{name}[{index.text()}]", "=", f"{read.base}[{read.index.text()}]")
    for loop in reversed(loops):
        copy = ir.For(loop.type, loop.var, "0", loop.high, loop.step, ir.Block([copy]))
    path = ir.locate(view.function.body, loops[0])
    if path is None:
        raise Unsupported("the loop is not in the function")
    outermost = view.function.body.items[path[0][1]]
    if any("parallel" in p for p in outermost.pragmas):
        copy.pragmas = ["#pragma omp parallel for"]
    wanted = read.text

    def new(access: object) -> str | None:
        return f"{name}[{index.text()}]" if getattr(access, "text", "") == wanted else None

    statement = read.statement
    if isinstance(statement, ir.Assign):
        statement.value = replace_accesses(statement.value, new)
    elif isinstance(statement, ir.Decl) and statement.init is not None:
        statement.init = replace_accesses(statement.init, new)
    else:
        raise Unsupported("the read is neither in an assignment nor in a declaration")
    element = element_type(view, read.base)
    insert_before(
        view.function.body, outermost, [*buffer(view, name, element, size, most=most), copy]
    )


class ScalarReplace(CppOperator):
    """Keep an element that a loop adds to in a scalar while the loop runs.

    `for k: a[i] += e;` becomes `s = a[i]; for k: s += e; a[i] = s;`. What it may break: nothing,
    unless two pointers overlap.
    """

    name: ClassVar[str] = "cpp_scalar_replace"
    weight: ClassVar[float] = 0.02

    def sites(self, view: View) -> list[Site]:
        """Updates of one element throughout an innermost loop."""
        found = []
        for loop in view.hot_loops:
            if not is_innermost(loop) or view.is_opaque(loop):
                continue
            for update in view.within(loop):
                if not update.is_update or update.statement.pragmas or update.leading:
                    continue
                same = [r for r in view.within(loop) if r.base == update.base]
                fixed = {loop.var, *view.private(loop)}
                if len(same) == 1 and update.index.names.isdisjoint(fixed):
                    note = f"{update.base} in a scalar during {describe(view, loop)}"
                    found.append(Site(note, 1.0, partial(_scalar, view, loop, update)))
        return found


def _scalar(view: View, loop: ir.For, update: Reference) -> None:
    statement = update.statement
    if not isinstance(statement, ir.Assign) or any("omp" in p for p in loop.pragmas):
        raise Unsupported("not a plain update")
    name = view.unit.fresh(f"{update.base}_value")
    target = statement.target
    element = element_type(view, update.base)
    statement.target = name
    kept = ir.Decl(element, "", name, [], target)
    ir.replace(view.function.body, loop, [kept, loop, ir.Assign(target, "=", name)])


class Recompute(CppOperator):
    """Put a constant's value in place of its name, so that it is computed where it is needed.

    Makes statements independent that shared a variable. What it may break: nothing; a value used
    several times may be computed several times.
    """

    name: ClassVar[str] = "cpp_recompute"
    weight: ClassVar[float] = 0.02

    def sites(self, view: View) -> list[Site]:
        """Floating-point constants inside loops."""
        found = []
        for loop in view.hot_loops:
            for item in loop.body.items:
                if isinstance(item, ir.Decl) and item.is_const and item.scalar_type in _REAL:
                    note = f"compute {item.name} in {describe(view, loop)} where needed"
                    found.append(Site(note, 1.0, partial(_inline, loop, item)))
        return found


def _inline(loop: ir.For, decl: ir.Decl) -> None:
    place = loop.body.items.index(decl)
    rest = ir.Block(loop.body.items[place + 1 :])
    assigned = {s.target for s in ir.walk(rest) if isinstance(s, ir.Assign)}
    stored = {a.base for target in assigned for a in accesses(target)}
    read = {a.base for a in accesses(decl.init or "0")}
    if read & stored or not assigned.isdisjoint({decl.init or ""}):
        raise Unsupported("what the constant reads is written later")
    rename(rest, {decl.name: decl.init or "0"})
    loop.body.items[place:] = rest.items


class SplitSums(CppOperator):
    """Let an innermost loop add up several partial sums side by side.

    A chain of additions waits for itself; 16 to 64 partial sums (a launch parameter) fill vectors
    and the waiting time. What it may break: the order of the sum, thus its last bits.
    """

    name: ClassVar[str] = "cpp_split_sums"
    weight: ClassVar[float] = 0.05

    def sites(self, view: View) -> list[Site]:
        """Innermost loops that are independent but for scalar sums."""
        found = []
        for loop in view.hot_loops:
            limits = view.trip_limits(loop)
            if not is_innermost(loop) or loop.low != "0" or loop.step != "1":
                continue
            if limits is not None and limits[0] < max(PARTS):
                continue
            plain = all(p.startswith("#pragma omp simd") for p in loop.pragmas)
            plain = plain and all(r.lanes.number == 1 for r in view.within(loop))
            if plain and (totals := sums(view, loop)):
                note = f"partial sums of {' and '.join(totals)} over {describe(view, loop)}"
                found.append(Site(note, 1.0, partial(_partial, view, loop, totals)))
        return found


def _partial(view: View, loop: ir.For, totals: list[str]) -> None:
    unit = view.unit
    size, first = unit.fresh("PARTS"), unit.fresh(f"{loop.var}_first")
    lane, whole = unit.fresh("p"), unit.fresh(f"{loop.var}_whole")
    before: list[ir.Stmt] = [
        ir.Decl(f"const {loop.type}", "", whole, [], f"{loop.high} - {loop.high} % {size}")
    ]
    if not loop.high.isidentifier():
        before = [ir.Decl(f"const {loop.type}", "", whole, [], f"({loop.high}) / {size} * {size}")]
    body = ir.clone(loop.body)
    combine: list[ir.Stmt] = []
    for total in totals:
        part = unit.fresh(f"{total}_parts")
        element = element_type(view, total)
        before.append(ir.Decl(f"alignas(64) {element}", "", part, [size], "{}"))
        for statement in ir.walk(body):
            if isinstance(statement, ir.Assign) and statement.target == total:
                statement.target = f"{part}[{lane}]"
        combine.append(ir.Assign(total, "+=", f"{part}[{lane}]"))
    rename(body, {loop.var: f"{first} + {lane}"})
    simd = ["#pragma omp simd"]
    inner = ir.For("int", lane, "0", size, "1", body, pragmas=simd)
    main = ir.For(loop.type, first, "0", whole, size, ir.Block([inner]))
    rest = ir.For(loop.type, loop.var, whole, loop.high, "1", loop.body)
    adding = ir.For("int", lane, "0", size, "1", ir.Block(combine))
    around = ir.enclosing(view.function.body, loop)
    ir.replace(view.function.body, loop, [*before, main, rest, adding])
    place = around[0] if around else before[0]
    insert_before(view.function.body, place, [constant(size, str(PARTS[1]), tune=PARTS)])
