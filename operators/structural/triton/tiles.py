"""Operators on the shape of the work: halves of a tile, and one tile axis for two grid axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import libcst as cst

from operators.structural.triton.base import Edit, TritonOperator
from operators.structural.triton.flow import (
    constexprs,
    is_static,
    literal,
    reads,
    single_assignments,
    writes,
)
from operators.structural.triton.host import (
    Revision,
    argument,
    count_axes,
    grid_of,
    keyword,
    program_axes,
    revised,
    with_arguments,
)
from operators.structural.triton.tree import (
    Change,
    Refused,
    Statement,
    View,
    assigned,
    body_of,
    called,
    calls,
    code,
    dotted,
    expr,
    renamed,
    replaced,
    stmts,
    walk,
    with_body,
)

_REDUCTIONS = (
    *("tl.sum", "tl.max", "tl.min", "tl.argmax", "tl.argmin", "tl.reduce", "tl.cumsum"),
    *("tl.associative_scan", "tl.sort", "tl.gather", "tl.histogram", "tl.softmax", "tl.flip"),
)


class SplitTile(TritonOperator):
    """Compute a tile as two smaller ones, with a sum of products each.

    Either two halves, or a half and a quarter: a tile of 128 that holds 96 becomes 64 and 32, with
    no wasted work (an assertion at compile time makes sure that everything is covered). Loads of
    the operand that both share are not repeated. Values stay as they are.
    """

    name = "triton_split_tile"

    def edits(self, view: View) -> Iterator[Edit]:
        """One or two edits for each tile axis that no product or reduction sums over."""
        for kernel in view.kernels:
            for name, value in single_assignments(kernel).items():
                for block in sorted({_block(c) for c in calls(value, "tl.arange")} - {""}):
                    if block not in constexprs(kernel) or not _is_own_axis(kernel, name, block):
                        continue
                    note = f"two halves of {name} in {kernel.name.value}"
                    yield Edit(note, partial(self._split, view, kernel, name, block, ""))
                    bound = _static_bound(kernel, name)
                    # A tile cut from a longer axis would leave a gap before the next one.
                    if bound and called(value) == "tl.arange":
                        note = f"a half and a quarter of {name} in {kernel.name.value}"
                        build = partial(self._split, view, kernel, name, block, bound)
                        yield Edit(note, build)

    @staticmethod
    def _split(
        view: View, kernel: cst.FunctionDef, name: str, block: str, bound: str
    ) -> cst.Module:
        affected = _depending(kernel, name, block)
        if any(dotted(c.func) in _REDUCTIONS for c in _calls_on(kernel, affected)):
            raise Refused("summed over")
        half = f"({block} // 2)"
        second = f"({block} // 4)" if bound else half
        parts = []
        for suffix, size, start in (("low", half, ""), ("high", second, f"{half} + ")):
            names = {n: cst.Name(view.fresh(f"{n}_{suffix}")) for n in affected}
            parts.append((names, size, start))
        body = _doubled(body_of(kernel), affected, block, parts)
        if bound:
            body = [*stmts(f"tl.static_assert({bound} <= {half} + {second})\n"), *body]
        return replaced(view.module, {kernel: with_body(kernel, body)})


_Part = tuple[dict[str, cst.Name], str, str]


def _block(call: cst.Call) -> str:
    args = call.args
    return dotted(args[1].value) if len(args) == 2 and literal(args[0].value) == 0 else ""


def _is_own_axis(kernel: cst.FunctionDef, name: str, block: str) -> bool:
    """Whether exactly one vector has this size, and products do not sum over it."""
    ranges = [c for c in calls(kernel, "tl.arange") if block in reads(c)]
    if len(ranges) != 1 or _block(ranges[0]) != block:
        return False
    affected = _depending(kernel, name, block)
    for dot in calls(kernel, "tl.dot"):
        operands = [a.value for a in dot.args[:2]]
        if len(operands) != 2 or all(reads(o) & affected for o in operands):
            return False
    return True


def _depending(kernel: cst.FunctionDef, name: str, block: str) -> set[str]:
    """Names whose shape includes the axis: computed from it, or created with its size."""
    found = {name}
    grew = True
    while grew:
        grew = False
        for line in walk(kernel.body):
            if not isinstance(line, cst.SimpleStatementLine):
                continue
            shaped = any(
                block in reads(c.args[0]) for c in calls(line, "tl.zeros", "tl.full") if c.args
            )
            new = writes(line) - found
            if new and (shaped or reads(line) & found):
                found |= new
                grew = True
    return found


def _calls_on(kernel: cst.FunctionDef, names: set[str]) -> list[cst.Call]:
    return [n for n in walk(kernel.body) if isinstance(n, cst.Call) and reads(n) & names]


def _static_bound(kernel: cst.FunctionDef, name: str) -> str:
    """N when the kernel masks with `name < N` for a static N, "" otherwise."""
    found = set()
    for node in walk(kernel.body):
        if isinstance(node, cst.Comparison) and len(node.comparisons) == 1:
            left = node.left.value if isinstance(node.left, cst.Subscript) else node.left
            target = node.comparisons[0]
            if dotted(left) == name and isinstance(target.operator, cst.LessThan):
                static = is_static(target.comparator, kernel)
                found.add(code(target.comparator) if static else "")
    return found.pop() if len(found) == 1 else ""


def _doubled(
    body: Sequence[Statement], affected: set[str], block: str, parts: Sequence[_Part]
) -> list[Statement]:
    result: list[Statement] = []
    for statement in body:
        if isinstance(statement, cst.For):
            if reads(statement.iter) & affected:
                raise Refused("a loop over the tile")
            inner = _doubled(body_of(statement), affected, block, parts)
            result.append(with_body(statement, inner))
        elif not (reads(statement) | writes(statement)) & affected:
            result.append(statement)
        elif isinstance(statement, cst.SimpleStatementLine):
            result.extend(_part(statement, block, part) for part in parts)
        else:
            raise Refused("a branch over the tile")
    return result


def _part(line: Statement, block: str, part: _Part) -> Statement:
    names, size, start = part
    changes: dict[cst.CSTNode, Change] = {}
    for call in calls(line, "tl.arange", "tl.zeros", "tl.full"):
        if called(call) == "tl.arange":
            if _block(call) == block:
                text = f"{start}tl.arange(0, {size})"
                changes[call] = expr(f"({text})" if start else text)
        elif call.args:
            changes[call.args[0].value] = renamed(call.args[0].value, {block: expr(size)})
    return renamed(replaced(line, changes) if changes else line, names)


class FlattenAxes(TritonOperator):
    """Cut tiles from the product of two grid axes instead of from each row by itself.

    With `row = program_id(a)` and `at = program_id(b) * B + arange(0, B)` masked by `at < N`, the
    last tile of every row is partly empty. Afterwards a tile runs on into the next row: `row` and
    `at` are both vectors, found by division, and one axis of programs is left. Values stay as they
    are. Divisions cost a little, and knowledge about alignment is lost where N is not static.
    """

    name = "triton_flatten_axes"

    def edits(self, view: View) -> Iterator[Edit]:
        """One edit for each kernel of two axes, one of which is cut into tiles."""
        for kernel in view.kernels:
            try:
                axes = program_axes(kernel)
            except Refused:
                continue
            if set(axes) == {0, 1} and not count_axes(kernel) and view.launched_only(kernel):
                for tiled in (0, 1):
                    note = f"tiles of axis {tiled} across axis {1 - tiled} in {kernel.name.value}"
                    yield Edit(note, partial(self._flatten, view, kernel, tiled))

    @staticmethod
    def _flatten(view: View, kernel: cst.FunctionDef, tiled: int) -> cst.Module:
        cut = _Cut(kernel, tiled)
        flat, total = view.fresh("flat"), view.fresh("total")
        lines = stmts(
            f"{flat} = tl.program_id(0) * {cut.block} + tl.arange(0, {cut.block})\n"
            f"{cut.row} = {flat} // {cut.bound}\n"
            f"{cut.place} = {flat} % {cut.bound}\n"
        )
        body: list[Statement] = []
        for statement in body_of(kernel):
            if statement is cut.row_line or statement is cut.tile_line:
                continue
            if statement is cut.place_line:
                body.extend(lines)
            else:
                body.append(statement)
        before = body[: body.index(lines[0])]
        if any(reads(s) & {cut.row, cut.place} for s in before):
            raise Refused("used before the place is known")
        new = with_body(kernel, [_indexed(s, kernel, cut, flat, total) for s in body])

        def joined(grid: list[str]) -> list[str]:
            size = grid[tiled]
            for call in view.launches(kernel):
                bound = argument(kernel, call, cut.bound)
                block = argument(kernel, call, cut.block)
                known = {f"triton.cdiv({bound}, {block})", f"-(-({bound}) // {block})"}
                if bound is None or size not in known:
                    raise Refused("the grid is not the bound cut into blocks")
            return [f"-(-(({grid[1 - tiled]}) * {bound}) // {block})"]

        def everything(call: cst.Call) -> str:
            rows = cst.Module([]).code_for_node(grid_of(view, call)[1 - tiled])
            return f"({rows}) * {argument(kernel, call, cut.bound)}"

        return revised(view, kernel, Revision(new, values={total: everything}, grid=joined))


class _Cut:
    """The lines that say which row and which tile of it a program works on."""

    def __init__(self, kernel: cst.FunctionDef, tiled: int) -> None:
        axes = program_axes(kernel)
        if any(len(found) != 1 for found in axes.values()):
            raise Refused("program ids used several times")
        lines = {}
        for statement in body_of(kernel):
            pair = assigned(statement)
            for axis, (call,) in axes.items():
                if pair is not None and pair[1] is call:
                    lines[axis] = (statement, pair[0])
        if set(lines) != {0, 1}:
            raise Refused("program ids are not two plain lines")
        single = single_assignments(kernel)
        self.row_line, self.row = lines[1 - tiled]
        self.tile_line, tile = lines[tiled]
        users = [
            s
            for s in walk(kernel.body)
            if isinstance(s, cst.SimpleStatementLine) and tile in reads(s)
        ]
        pair = assigned(users[0]) if len(users) == 1 else None
        if pair is None or {tile, self.row, pair[0]} - set(single):
            raise Refused("the tile's number is used several times")
        self.place_line, (self.place, value) = users[0], pair
        ranges = calls(value, "tl.arange")
        self.block = _block(ranges[0]) if len(ranges) == 1 else ""
        forms = {f"{tile} * {self.block}", f"{self.block} * {tile}"}
        if not self.block or code(value) not in {
            text
            for form in forms
            for text in (
                f"{form} + tl.arange(0, {self.block})",
                f"({form}) + tl.arange(0, {self.block})",
            )
        }:
            raise Refused("the tile is not cut plainly")
        self.bound = _plain_bound(kernel, self.place)
        self.vectors = {self.place}
        for _ in range(8):
            for name, other in single.items():
                if reads(other) & self.vectors and not calls(other, "tl.load", "tl.dot"):
                    self.vectors.add(name)


def _plain_bound(kernel: cst.FunctionDef, name: str) -> str:
    parameters = {p.name.value for p in kernel.params.params}
    for node in walk(kernel.body):
        if isinstance(node, cst.Comparison) and len(node.comparisons) == 1:
            left = node.left.value if isinstance(node.left, cst.Subscript) else node.left
            target = node.comparisons[0]
            bound = dotted(target.comparator)
            less = isinstance(target.operator, cst.LessThan)
            if dotted(left) == name and less and bound in parameters:
                return bound
    raise Refused("no bound for the place")


def _indexed(
    statement: Statement, kernel: cst.FunctionDef, cut: _Cut, flat: str, total: str
) -> Statement:
    """The statement with the row as a vector along the place's axis, and its accesses in bounds."""
    if isinstance(statement, cst.For):
        return with_body(
            statement, [_indexed(s, kernel, cut, flat, total) for s in body_of(statement)]
        )
    if cut.row not in reads(statement) or cut.row in writes(statement):
        return statement
    indices = {
        code(node)[len(code(node.value)) :]
        for node in walk(statement)
        if isinstance(node, cst.Subscript) and dotted(node.value) in cut.vectors
    }
    accesses = calls(statement, "tl.load", "tl.store")
    if len(indices) != 1 or len(accesses) != 1:
        raise Refused("the row is used away from the place")
    index = indices.pop()
    access = accesses[0]
    mask = keyword(access, "mask")
    extra = f"({flat}{index} < {total})"
    changed = with_arguments(access, {"mask": f"{code(mask)} & {extra}" if mask else extra})
    new = replaced(statement, {access: changed})
    return renamed(new, {cut.row: expr(f"{cut.row}{index}")})
