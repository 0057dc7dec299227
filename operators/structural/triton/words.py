"""The operator that loads 16-bit elements in pairs, as 32-bit words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import libcst as cst

from operators.structural.triton.base import Edit, TritonOperator
from operators.structural.triton.flow import (
    PAIRS,
    bounds,
    constexprs,
    is_static,
    literal,
    loops,
    pointer_parameters,
    reads,
    single_assignments,
    variable,
)
from operators.structural.triton.host import Revision, argument, keyword, revised
from operators.structural.triton.tree import (
    Change,
    Refused,
    Statement,
    View,
    assigned,
    called,
    calls,
    code,
    dotted,
    expr,
    renamed,
    replaced,
    stmt,
    stmts,
    walk,
)

_HELPER = f'''

@triton.jit
def {PAIRS}(ptr, words, STEP: tl.constexpr, mask, next_mask, ODD: tl.constexpr):
    """Elements `2 * (words + STEP) + ODD` and the ones behind them, side by side in a row."""
    if ptr.dtype.element_ty.primitive_bitwidth == 16:
        # One base for every STEP: neighbours are then offsets of the same address.
        at = ptr.to(tl.pointer_type(tl.int32)) + words
        first = tl.load(at + STEP, mask=mask, other=0)
        low = first.to(tl.int16)
        high = (first >> 16).to(tl.int16)
        if ODD:
            low = high
            high = tl.load(at + (STEP + 1), mask=next_mask, other=0).to(tl.int16)
        low = low.to(ptr.dtype.element_ty, bitcast=True)
        high = high.to(ptr.dtype.element_ty, bitcast=True)
    else:
        at = ptr + 2 * words + (2 * STEP + ODD)
        low = tl.load(at, mask=mask, other=0)
        high = tl.load(at + 1, mask=next_mask if ODD else mask, other=0)
    return tl.reshape(tl.join(low, high), [low.shape[0], 2 * low.shape[1]])


'''


class PairLoads(TritonOperator):
    """Load 16-bit elements two at a time where a shift keeps wide loads from being aligned.

    A tile at places `p + shift`, known to start at even places of even rows, is read as aligned
    32-bit words; for an odd shift two neighbouring words are put together. Half as many accesses,
    fewer still where several shifts need the same word, which is then loaded once.
    The compiler is asked to assert that rows are even; their length is passed at run time as well,
    so that neighbouring threads take neighbouring words. Values stay as they are where the operand
    itself starts at a multiple of four bytes.
    Elements of other sizes are read one by one, slower than before.
    """

    name = "triton_pair_loads"
    weight = 1.5

    def edits(self, view: View) -> Iterator[Edit]:
        """One edit for each load of a tile along its last axis with a static shift."""
        for kernel in view.kernels:
            if not view.launched_only(kernel):
                continue
            for line in walk(kernel.body):
                pair = assigned(line)
                if pair is None or called(pair[1]) != "tl.load":
                    continue
                try:
                    tile = _tile(kernel, cst.ensure_type(pair[1], cst.Call))
                except Refused:
                    continue
                note = f"{pair[0]} of {kernel.name.value} in pairs"
                yield Edit(note, partial(self._pair, view, kernel, line, pair[0], tile))

    @staticmethod
    def _pair(
        view: View, kernel: cst.FunctionDef, line: cst.CSTNode, name: str, tile: _Tile
    ) -> cst.Module:
        pairs, words = view.fresh("pairs"), view.fresh("words")
        following = view.fresh("next_words")
        row = view.fresh(f"{tile.even}_words")
        odd = f"({tile.shift}) % 2"
        away = f"(({tile.shift}) - {odd}) // 2"
        base = [code(renamed(t, {tile.even: cst.Name(row)})) for t in tile.others]
        place = " + ".join([*base, f"{pairs}[None, :]"])
        masks = [
            code(renamed(tile.mask, {tile.place: expr(f"(2 * {name})")}))
            for name in (words, following)
        ]
        # Addresses and masks are the same vector and a constant: loads that several shifts share
        # become one.
        new = stmts(
            f"{words} = {pairs} + {away}\n"
            f"{following} = {pairs} + ({away} + 1)\n"
            f"{name} = {PAIRS}(\n    {tile.pointer},\n    {place},\n    {away},\n"
            f"    {masks[0]},\n    {masks[1]},\n    {odd},\n)\n"
        )
        half = f"({tile.block} // 2)"
        start = f"{code(tile.start)} * {half} + " if tile.start is not None else ""
        changes: dict[cst.CSTNode, Change] = {
            line: new,
            tile.origin: [
                tile.origin,
                stmt(f"{pairs} = {start}tl.arange(0, {tile.block} // 2)\n"),
            ],
            **{loop.iter: _static_iter(loop) for loop in tile.dynamic},
        }
        changed = replaced(kernel, changes)
        check = stmt(f"tl.static_assert({tile.even} % 2 == 0)\n")
        body = cst.ensure_type(changed.body, cst.IndentedBlock)
        changed = changed.with_changes(body=body.with_changes(body=[check, *body.body]))

        def half_row(call: cst.Call) -> str:
            text = argument(kernel, call, tile.even)
            if text is None:
                raise Refused("the row length is not passed")
            return f"({text}) // 2"

        module = revised(view, kernel, Revision(changed, values={row: half_row}))
        return module if PAIRS in view.names else _with_helper(module, kernel.name.value)


def _with_helper(module: cst.Module, before: str) -> cst.Module:
    body = list(module.body)
    at = next(
        i for i, n in enumerate(body) if isinstance(n, cst.FunctionDef) and n.name.value == before
    )
    helper = [s for s in cst.parse_module(_HELPER).body if isinstance(s, cst.FunctionDef)]
    spaced = [h.with_changes(leading_lines=[cst.EmptyLine(), cst.EmptyLine()]) for h in helper]
    return module.with_changes(body=[*body[:at], *spaced, *body[at:]])


def _static_iter(loop: cst.For) -> cst.BaseExpression:
    return expr(f"tl.static_range({', '.join(code(part) for part in bounds(loop))})")


@dataclass(frozen=True)
class _Tile:
    """A load of elements `start * block + arange(0, block) + shift` of rows of even length.

    Attributes:
        pointer: The pointer parameter.
        others: The address's other terms, each with the even row length as a factor.
        place: The vector of places that address and mask use.
        origin: The line that binds the unshifted places.
        even: The constexpr name that has to be even.
        dynamic: Loops that must become static for the shift to be known.
    """

    pointer: str
    others: tuple[cst.BaseExpression, ...]
    place: str
    origin: Statement
    start: cst.BaseExpression | None
    block: str
    shift: str
    even: str
    mask: cst.BaseExpression
    dynamic: tuple[cst.For, ...]


def _tile(kernel: cst.FunctionDef, load: cst.Call) -> _Tile:
    known = {a.keyword.value for a in load.args if a.keyword is not None}
    other, mask = keyword(load, "other"), keyword(load, "mask")
    if not known <= {"mask", "other"} or mask is None or len(load.args) != len(known) + 1:
        raise Refused("a load with options")
    if other is None or code(other) not in {"0", "0.0"}:
        raise Refused("not filled with zeros")
    terms = _sum(load.args[0].value)
    along = [t for t in terms if isinstance(t, cst.Subscript) and _index(t) == "[None, :]"]
    pointers = [t for t in terms if dotted(t) in pointer_parameters(kernel)]
    if len(along) != 1 or len(pointers) != 1 or not isinstance(along[0].value, cst.Name):
        raise Refused("not one vector along the last axis")
    place = along[0].value.value
    others = tuple(t for t in terms if t is not along[0] and t is not pointers[0])
    single = single_assignments(kernel)
    origin_name, shift = _shifted(single, place)
    start, block = _cut(kernel, single[origin_name])
    even = _even(kernel, others, mask, place)
    dynamic = _to_be_static(kernel, shift)
    line = next(
        n
        for n in walk(kernel.body)
        if isinstance(n, cst.SimpleStatementLine) and (assigned(n) or ("",))[0] == origin_name
    )
    pointer = dotted(pointers[0])
    return _Tile(pointer, others, place, line, start, block, code(shift), even, mask, dynamic)


def _sum(node: cst.BaseExpression) -> list[cst.BaseExpression]:
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Add):
        return [*_sum(node.left), *_sum(node.right)]
    return [node]


def _index(node: cst.Subscript) -> str:
    return f"[{', '.join(code(s).rstrip(',').strip() for s in node.slice)}]"


def _shifted(single: dict[str, cst.BaseExpression], place: str) -> tuple[str, cst.BaseExpression]:
    """The name of the unshifted places and the shift."""
    value = single.get(place)
    if value is None:
        raise Refused("places bound several times")
    if calls(value, "tl.arange"):
        return place, cst.Integer("0")
    if isinstance(value, cst.BinaryOperation) and isinstance(value.left, cst.Name):
        origin = value.left.value
        if origin in single and calls(single[origin], "tl.arange"):
            if isinstance(value.operator, cst.Add):
                return origin, value.right
            if isinstance(value.operator, cst.Subtract):
                return origin, expr(f"-({code(value.right)})")
    raise Refused("not a range and a shift")


def _cut(
    kernel: cst.FunctionDef, value: cst.BaseExpression
) -> tuple[cst.BaseExpression | None, str]:
    """T and B of `T * B + tl.arange(0, B)`; None and B of the range alone."""
    terms = _sum(value)
    ranges = [t for t in terms if called(t) == "tl.arange"]
    if len(ranges) != 1 or len(terms) > 2:
        raise Refused("not a plain range")
    args = cst.ensure_type(ranges[0], cst.Call).args
    block = dotted(args[1].value) if len(args) == 2 and literal(args[0].value) == 0 else ""
    if block not in constexprs(kernel):
        raise Refused("a range of unknown size")
    rest = [t for t in terms if t is not ranges[0]]
    if not rest:
        return None, block
    product = rest[0]
    if isinstance(product, cst.BinaryOperation) and isinstance(product.operator, cst.Multiply):
        for one, two in ((product.left, product.right), (product.right, product.left)):
            if dotted(two) == block:
                return one, block
    raise Refused("tiles that do not start at multiples of their size")


def _even(
    kernel: cst.FunctionDef,
    others: tuple[cst.BaseExpression, ...],
    mask: cst.BaseExpression,
    place: str,
) -> str:
    """The row length: in every other term a factor, and the only bound of the places."""
    parameters = {p.name.value for p in kernel.params.params} & constexprs(kernel)
    shared: set[str] = set(parameters)
    for term in others:
        shared &= {f.value for f in _product(term) if isinstance(f, cst.Name)}
    for node in walk(mask):
        if isinstance(node, cst.Comparison) and place in reads(node):
            target = node.comparisons[0]
            below = isinstance(target.operator, cst.LessThan)
            natural = isinstance(target.operator, cst.GreaterThanEqual)
            plain = len(node.comparisons) == 1 and place in reads(node.left)
            if plain and natural and literal(target.comparator) == 0:
                continue
            if not (plain and below and dotted(target.comparator) in shared):
                raise Refused("a condition that pairs may cut through")
            shared = {dotted(target.comparator)}
    if len(shared) != 1:
        raise Refused("no even row length")
    return shared.pop()


def _product(node: cst.BaseExpression) -> list[cst.BaseExpression]:
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Multiply):
        return [*_product(node.left), *_product(node.right)]
    return [node]


def _to_be_static(kernel: cst.FunctionDef, shift: cst.BaseExpression) -> tuple[cst.For, ...]:
    if is_static(shift, kernel):
        return ()
    found = []
    unknown = reads(shift) - constexprs(kernel)
    for loop in loops(kernel):
        if variable(loop) in unknown:
            if not all(is_static(part, kernel) for part in bounds(loop)):
                raise Refused("a shift that is known at run time only")
            if called(loop.iter) != "tl.static_range":
                found.append(loop)
            unknown = unknown - {variable(loop)}
    if unknown:
        raise Refused("a shift that is known at run time only")
    return tuple(found)
