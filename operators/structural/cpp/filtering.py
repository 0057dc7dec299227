"""Fewer multiplications for a sliding filter: the loop nest rewritten as F(m, r).

    for o: for l: { s = init; for i: for k < r: s += d[.. i .. l + k] * w[o .. i .. k]; out = s }

becomes, with U = G w made once, V = B d made once per row, and j the m + r - 1 products:

    for j: for o: for t: { sum = 0; for i: sum += V[j, i, t] * U[j, o, i]; M[j, o, t] = sum }
    for o: for t: out[m t .. m t + m - 1] = init + A M

The middle nest is a matrix product, with m r / (m + r - 1) times fewer multiplications.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from operators.structural.cpp import ir
from operators.structural.cpp.affine import Poly
from operators.structural.cpp.analysis import View
from operators.structural.cpp.base import CppOperator, Site, describe, element_type
from operators.structural.cpp.build import (
    buffer,
    constant,
    count,
    flat,
    insert_before,
    product,
)
from operators.structural.cpp.expression import parenthesised, substitute
from operators.structural.cpp.references import mentions
from operators.structural.cpp.sliding import Nest, find_nests
from operators.structural.cpp.toom_cook import Filter, combination, minimal_filter
from operators.structural.cpp.tree import Unsupported

_OUTPUTS = (2, 3, 4, 5)
ROWS = (1, 2, 4)


class MinimalFiltering(CppOperator):
    """Rewrite a sliding filter with few taps as F(m, r), which multiplies less.

    Applies to any sum over taps (and further loops) of data[.. + l + k] * weight[.. k ..] without
    guards: convolutions of one or two dimensions, filters. Several rows of the loop that the data
    belong to can be handled together (a launch parameter), so that tiles fill whole vectors. What
    it may break: sums are formed in another order with intermediate numbers several times larger,
    so rounding errors grow by about 2 for m = 2 and 10 for m = 5; an infinity in one element
    reaches its neighbours.
    """

    name: ClassVar[str] = "cpp_minimal_filtering"
    weight: ClassVar[float] = 0.08

    def sites(self, view: View) -> list[Site]:
        """One site per sliding filter and number of outputs that divides its length."""
        found = []
        for nest in find_nests(view):
            length, taps = view.trip(nest.slide), view.trip(nest.taps)
            for outputs in _OUTPUTS:
                if length is None or taps is None or length % outputs or length < 2 * outputs:
                    continue
                saving = outputs * taps / (outputs + taps - 1)
                note = f"filter {describe(view, nest.slide)} by F({outputs}, {taps})"
                found.append(Site(note, saving**3, partial(_rewrite, view, nest, outputs)))
        return found


@dataclass(slots=True)
class _Plan:
    """Names, extents and matrices of one rewrite."""

    view: View
    nest: Nest
    outputs: int
    filter: Filter
    shared: int  # loops around both the data's transform and the products
    weights: str
    data: str
    results: str
    tile: str
    product: str
    tiles: Poly  # tiles of one row
    row: Poly  # tiles handled together
    group: Poly  # number of the row within its group
    element: str

    @property
    def products(self) -> Poly:
        return Poly.constant(self.filter.products)

    def extent(self, loop: ir.For) -> Poly:
        """How often a loop of the nest runs."""
        return Poly.constant(self.view.trip(loop) or 0)

    def dims(self, loops: list[ir.For]) -> list[tuple[str, Poly]]:
        """(variable, extent) of each loop."""
        return [(f.var, self.extent(f)) for f in loops]

    @property
    def weight_loops(self) -> list[ir.For]:
        used = self.nest.weight.index.names
        return [f for f in (*self.nest.outer, *self.nest.sums) if f.var in used]

    @property
    def data_loops(self) -> list[ir.For]:
        used = self.nest.data.index.names
        return [f for f in (*self.nest.outer[self.shared :], *self.nest.sums) if f.var in used]

    @property
    def result_loops(self) -> list[ir.For]:
        return list(self.nest.outer[self.shared :])


def _rewrite(view: View, nest: Nest, outputs: int) -> None:
    taps = view.trip(nest.taps) or 0
    shared = _shared_loops(view, nest)
    unit = view.unit
    plan = _Plan(
        view=view,
        nest=nest,
        outputs=outputs,
        filter=minimal_filter(outputs, taps),
        shared=shared,
        weights=unit.fresh(f"{nest.weight.base}_points"),
        data=unit.fresh(f"{nest.data.base}_points"),
        results=unit.fresh("products"),
        tile=unit.fresh("t"),
        product=unit.fresh("j"),
        tiles=Poly.constant((view.trip(nest.slide) or 0) // outputs),
        row=Poly.constant(0),
        group=Poly.constant(0),
        element=element_type(view, nest.data.name),
    )
    if any(view.trip(f) is None for f in (*plan.weight_loops, *nest.outer[shared:])):
        raise Unsupported("an extent is not known")
    chain = (*nest.outer, nest.slide)
    inner = chain[shared]
    grouped = shared > 0 and _can_group(nest, inner)
    plan.row = plan.tiles
    if grouped:
        _group(plan, inner)
    else:
        made = [*_data_transform(plan), *_products(plan), _results(plan, inner)]
        insert_before(
            view.function.body,
            inner,
            [*_buffer(plan, plan.data, plan.data_loops), *_result_buffer(plan), *made],
        )
        ir.replace(view.function.body, inner, [])
    outermost = _outermost(view, nest)
    insert_before(view.function.body, outermost, _weight_transform(plan, outermost))


def _outermost(view: View, nest: Nest) -> ir.Stmt:
    first: ir.Stmt = (*nest.outer, nest.slide)[0]
    path = ir.locate(view.function.body, first)
    if path is None:
        raise Unsupported("the nest is not in the function")
    return path[0][0].items[path[0][1]]


def _shared_loops(view: View, nest: Nest) -> int:
    """How many outer loops the data's transform must stay inside of."""
    declared_in = [
        i + 1
        for i, loop in enumerate(nest.outer)
        if any(isinstance(s, ir.Decl) and s.name == nest.data.name for s in loop.body.items)
    ]
    own = nest.data.index.names
    moving = [
        i + 1
        for i, loop in enumerate(nest.outer)
        if loop.var in own and (view.trip(loop) is None or loop.pragmas or i == 0)
    ]
    shared = max([0, *declared_in, *moving])
    chain = (*nest.outer, nest.slide)
    for outer, inner in zip(chain[shared:], chain[shared + 1 :], strict=False):
        if outer.body.items != [inner]:
            raise Unsupported("the loops over results are not perfectly nested")
    return shared


def _can_group(nest: Nest, inner: ir.For) -> bool:
    del inner
    return not any("collapse" in p or "ordered" in p for f in nest.outer for p in f.pragmas)


def _buffer(plan: _Plan, name: str, loops: list[ir.For]) -> list[ir.Stmt]:
    extents = [plan.products, *(plan.extent(f) for f in loops)]
    rows = 1 if plan.row == plan.tiles else max(ROWS)
    most = product([*extents, plan.tiles, Poly.constant(rows)]).number
    return buffer(plan.view, name, plan.element, product([*extents, plan.row]), most=most)


def _result_buffer(plan: _Plan) -> list[ir.Stmt]:
    return _buffer(plan, plan.results, plan.result_loops)


def _at(plan: _Plan, product_index: Poly, loops: list[ir.For], position: Poly) -> str:
    index = product_index
    for var, extent in plan.dims(loops):
        index = index * extent + Poly.atom(var)
    return (index * plan.row + position).text()


def _weight_transform(plan: _Plan, outermost: ir.Stmt) -> list[ir.Stmt]:
    """U = G w for every filter, before the outermost loop."""
    loops = plan.weight_loops
    extents = [plan.extent(f) for f in loops]
    index = plan.nest.weight.index
    taps = plan.view.trip(plan.nest.taps) or 0
    var = plan.nest.taps.var
    names = [plan.view.unit.fresh(f"w{k}") for k in range(taps)]
    body: list[ir.Stmt] = [
        ir.Decl(
            f"const {plan.element}",
            "",
            name,
            [],
            f"{plan.nest.weight.base}[{index.replaced({var: Poly.constant(k)}).text()}]",
        )
        for k, name in enumerate(names)
    ]
    place = flat(plan.dims(loops))
    size = product(extents)
    for j, row in enumerate(plan.filter.taps):
        target = f"{plan.weights}[{(place + size * Poly.constant(j)).text()}]"
        body.append(ir.Assign(target, "=", combination(row, names)))
    for loop in reversed(loops):
        body = [count(loop.var, loop.high, body, kind=loop.type)]
    if any("parallel" in p for p in outermost.pragmas) and loops:
        body[0].pragmas = ["#pragma omp parallel for"]
    total = product([plan.products, *extents])
    return [*buffer(plan.view, plan.weights, plan.element, total), *body]


def _data_transform(plan: _Plan) -> list[ir.Stmt]:
    """V = B d for one row."""
    nest, size = plan.nest, plan.filter.products
    tile = Poly.atom(plan.tile)
    start = nest.data.index.replaced(
        {nest.slide.var: tile * Poly.constant(plan.outputs), nest.taps.var: Poly.constant(0)}
    )
    names = [plan.view.unit.fresh(f"d{i}") for i in range(size)]
    body: list[ir.Stmt] = [
        ir.Decl(
            f"const {plan.element}",
            "",
            name,
            [],
            f"{nest.data.base}[{(start + Poly.constant(i)).text()}]",
        )
        for i, name in enumerate(names)
    ]
    position = plan.group * plan.tiles + tile
    for j, row in enumerate(plan.filter.data):
        target = f"{plan.data}[{_at(plan, Poly.constant(j), plan.data_loops, position)}]"
        body.append(ir.Assign(target, "=", combination(row, names)))
    loop: ir.Stmt = count(plan.tile, plan.tiles.text(), body)
    for outer in reversed(plan.data_loops):
        loop = count(outer.var, outer.high, [loop], kind=outer.type)
    return [loop]


def _products(plan: _Plan) -> list[ir.Stmt]:
    """M = V U: the matrix products, all tiles of a group in one loop."""
    j, tile = Poly.atom(plan.product), Poly.atom(plan.tile)
    index = j
    for var, extent in plan.dims(plan.weight_loops):
        index = index * extent + Poly.atom(var)
    total = plan.view.unit.fresh(plan.nest.total.name)
    value = f"{plan.data}[{_at(plan, j, plan.data_loops, tile)}] * {plan.weights}[{index.text()}]"
    inner: ir.Stmt = ir.Assign(total, "+=", value)
    for loop in reversed(plan.nest.sums):
        inner = count(loop.var, loop.high, [inner], kind=loop.type)
    target = f"{plan.results}[{_at(plan, j, plan.result_loops, tile)}]"
    body: list[ir.Stmt] = [
        ir.Decl(plan.element, "", total, [], "0.0f"),
        inner,
        ir.Assign(target, "=", total),
    ]
    nest: ir.Stmt = count(plan.tile, plan.row.text(), body)
    for loop in reversed(plan.result_loops):
        nest = count(loop.var, loop.high, [nest], kind=loop.type)
    return [count(plan.product, plan.products.text(), [nest])]


def _results(plan: _Plan, inner: ir.For) -> ir.Stmt:
    """Form init + A M: the loops over results, with tiles in place of positions."""
    nest = plan.nest
    names = [plan.view.unit.fresh(f"m{i}") for i in range(plan.filter.products)]
    position = plan.group * plan.tiles + Poly.atom(plan.tile)
    body: list[ir.Stmt] = [
        ir.Decl(
            f"const {plan.element}",
            "",
            name,
            [],
            f"{plan.results}[{_at(plan, Poly.constant(i), plan.result_loops, position)}]",
        )
        for i, name in enumerate(names)
    ]
    for i, row in enumerate(plan.filter.outputs):
        at = (Poly.atom(plan.tile) * Poly.constant(plan.outputs) + Poly.constant(i)).text()
        body.append(_one_result(nest, combination(row, names), at))
    tiles = count(plan.tile, plan.tiles.text(), body)
    copy = ir.clone(inner)
    slide = copy if inner is nest.slide else ir.loops(copy)[_loop_place(inner, nest.slide)]
    slide.var, slide.type, slide.high, slide.body = plan.tile, "int", tiles.high, tiles.body
    slide.pragmas = []
    return copy


def _loop_place(root: ir.For, wanted: ir.For) -> int:
    return next(i for i, f in enumerate(ir.loops(root)) if f is wanted)


def _one_result(nest: Nest, value: str, at: str) -> ir.Stmt:
    """What the sliding loop's body did with its sum, for one position."""
    items: list[ir.Stmt] = []
    for statement in nest.slide.body.items:
        if isinstance(statement, ir.For):
            continue
        one = ir.clone(statement)
        if isinstance(one, ir.Decl) and one.name == nest.total.name:
            init = one.init or "0.0f"
            zero = init.rstrip("fF").rstrip("0").rstrip(".") in ("", "0")
            one.init = value if zero else f"{parenthesised(init)} + ({value})"
        _rename(one, {nest.slide.var: at})
        items.append(one)
    return _short(ir.Block(items), nest.total.name)


def _short(block: ir.Block, total: str) -> ir.Stmt:
    """`{ float s = e; out = s; }` as `out = e;`."""
    match block.items:
        case [ir.Decl() as first, ir.Assign(value=value) as last] if value == total:
            if total not in mentions(ir.Assign(last.target, "=", "0")) and first.init:
                last.value = first.init
                return last
    return block


def _rename(statement: ir.Stmt, values: dict[str, str]) -> None:
    for inner in ir.walk(statement):
        match inner:
            case ir.Decl():
                inner.init = substitute(inner.init, values) if inner.init else inner.init
            case ir.Assign():
                inner.target = substitute(inner.target, values)
                inner.value = substitute(inner.value, values)
            case ir.If():
                inner.condition = substitute(inner.condition, values)
            case ir.Raw():
                raise Unsupported("a statement that is not understood")


def _group(plan: _Plan, inner: ir.For) -> None:
    """Handle several iterations of the loop around the rows together."""
    nest, unit = plan.nest, plan.view.unit
    outer = nest.outer[plan.shared - 1]
    before = outer.body.items[: outer.body.items.index(inner)]
    behind = outer.body.items[outer.body.items.index(inner) + 1 :]
    local = {s.name for s in before if isinstance(s, ir.Decl)}
    used = mentions(ir.Block([inner, *behind])) - {nest.data.name, nest.data.base}
    constants = {
        s.name for s in before if isinstance(s, ir.Decl) and s.type.startswith("constexpr")
    }
    if behind or not (local & used) <= constants:
        raise Unsupported("later statements need what comes before the nest")
    size = unit.fresh("ROWS")
    first, behind_last = unit.fresh(f"{outer.var}_first"), unit.fresh(f"{outer.var}_end")
    total = unit.fresh("tiles")
    plan.row = Poly.atom(total)
    plan.group = Poly.atom(outer.var) - Poly.atom(first)
    end = f"{first} + {size} < {outer.high} ? {first} + {size} : {outer.high}"
    kind = outer.type

    def rows(body: list[ir.Stmt]) -> ir.For:
        return ir.For(kind, outer.var, first, behind_last, "1", ir.Block(body))

    shares = [s for s in before if isinstance(s, ir.Decl) and s.name in constants]
    own = [s for s in before if s not in shares]
    items: list[ir.Stmt] = [
        ir.Decl(f"const {kind}", "", behind_last, [], end),
        *shares,
        *_buffer(plan, plan.data, plan.data_loops),
        *_result_buffer(plan),
        rows([*own, *_data_transform(plan)]),
        *_products(plan),
        rows([_results(plan, inner)]),
    ]
    outer.body.items[:] = items
    outer.var, outer.step = first, size
    decls = [
        constant(size, "1", tune=ROWS),
        constant(total, f"{size} * {plan.tiles.text()}"),
    ]
    insert_before(plan.view.function.body, _outermost(plan.view, nest), decls)
