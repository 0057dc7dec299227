"""Operators on the loops of a kernel: how they run, how far they are unrolled, their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import libcst as cst

from operators.structural.triton.base import Edit, TritonOperator
from operators.structural.triton.flow import (
    PAIRS,
    bounds,
    carried,
    is_pure,
    is_static,
    literal,
    loops,
    nests,
    reads,
    reads_of,
    variable,
    writes,
    writes_of,
)
from operators.structural.triton.host import Mark, Revision, keyword, revised, with_arguments
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
    stmt,
    walk,
    with_body,
)

_OPTIONS = {"num_stages": (2, (1, 2, 3, 4, 5)), "loop_unroll_factor": (2, (1, 2, 4, 8))}


class LoopKind(TritonOperator):
    """Change how a loop is run: `range`, `tl.range` with options, or `tl.static_range`.

    Options of `tl.range`: depth of software pipelining and unrolling (marked launch parameters),
    `flatten` for a loop around a loop, `warp_specialize`. `tl.static_range` unrolls at compile time
    and makes the loop variable a constant. Values stay; unrolling can spill registers or take long
    to compile, and some compilers fail on warp specialisation.
    """

    name = "triton_loop_kind"
    weight = 1.5

    def edits(self, view: View) -> Iterator[Edit]:
        """The kinds and options that each loop does not have yet."""
        for kernel in view.kernels:
            for loop in loops(kernel):
                yield from self._of(view, kernel, loop)

    def _of(self, view: View, kernel: cst.FunctionDef, loop: cst.For) -> Iterator[Edit]:
        kind = called(loop.iter)
        where = f"the {variable(loop)} loop of {kernel.name.value}"
        if kind != "tl.static_range" and all(is_static(p, kernel) for p in bounds(loop)):
            yield Edit(
                f"tl.static_range in {where}", partial(_as, view, loop, "tl.static_range"), 2
            )
        if kind == "tl.static_range" and not _needs_static(loop):
            yield Edit(f"range in {where}", partial(_as, view, loop, "range"))
        if kind == "tl.static_range":
            return
        call = cst.ensure_type(loop.iter, cst.Call)
        if kind == "tl.range" and len(call.args) > sum(a.keyword is None for a in call.args):
            yield Edit(f"range in {where}", partial(_as, view, loop, "range"), 0.5)
        for option in _OPTIONS:
            if keyword(call, option) is None:
                yield Edit(f"{option} for {where}", partial(_with_mark, view, kernel, loop, option))
        if keyword(call, "flatten") is None and any(isinstance(s, cst.For) for s in body_of(loop)):
            yield Edit(f"flatten {where}", partial(_as, view, loop, "tl.range", flatten="True"))
        if keyword(call, "warp_specialize") is None and calls(loop, "tl.dot"):
            build = partial(_as, view, loop, "tl.range", warp_specialize="True")
            yield Edit(f"warp_specialize {where}", build, 0.2)


def _needs_static(loop: cst.For) -> bool:
    """Whether the body uses the variable where only a compile-time number will do."""
    # An assignment makes a run-time value of a constant, so only the variable itself counts.
    known = {variable(loop)}
    return any(
        _grows(node) or any(reads(part) & known for part in _static_parts(node))
        for node in walk(loop.body)
    )


_STATIC_CALLS = {"tl.static_range", "tl.arange", "tl.zeros", "tl.full", PAIRS}


def _static_parts(node: cst.CSTNode) -> list[cst.CSTNode]:
    """The node, or those of its parts, that have to be known at compile time."""
    if isinstance(node, cst.Index | cst.AnnAssign) or called(node) in _STATIC_CALLS:
        return [node]
    return [node.test] if isinstance(node, cst.If | cst.IfExp) else []


def _grows(node: cst.CSTNode) -> bool:
    """Whether the node makes a tuple longer, which then has another type in every turn."""
    return isinstance(node, cst.BinaryOperation) and isinstance(node.right, cst.Tuple)


def _as(view: View, loop: cst.For, kind: str, **options: str) -> cst.Module:
    call = cst.ensure_type(loop.iter, cst.Call)
    if kind in {"range", "tl.static_range"}:
        plain = [a for a in call.args if a.keyword is None]
        text = ", ".join(code(a.value) for a in plain)
        return replaced(view.module, {call: expr(f"{kind}({text})")})
    new = with_arguments(call.with_changes(func=expr(kind)), options)
    return replaced(view.module, {call: new})


def _with_mark(view: View, kernel: cst.FunctionDef, loop: cst.For, option: str) -> cst.Module:
    value, choices = _OPTIONS[option]
    name = view.fresh("LOOP_STAGES" if option == "num_stages" else "LOOP_UNROLL")
    call = cst.ensure_type(loop.iter, cst.Call)
    iteration = with_arguments(call.with_changes(func=expr("tl.range")), {option: name})
    revision = Revision(
        replaced(kernel, {call: iteration}),
        constants={name: name},
        marks=[Mark(name, value, choices)],
    )
    return revised(view, kernel, revision)


class Unroll(TritonOperator):
    """Write a loop's body out: twice per turn, or once for each turn of a short literal loop.

    Twice per turn needs `tl.static_range`, where the guard of the second copy costs nothing. Values
    stay as they are.
    """

    name = "triton_unroll"
    weight = 0.5

    def edits(self, view: View) -> Iterator[Edit]:
        """Full unrolling of loops with at most 8 known turns, else a factor of two."""
        for kernel in view.kernels:
            for loop in loops(kernel):
                where = f"the {variable(loop)} loop of {kernel.name.value}"
                if variable(loop) in writes_of(body_of(loop)):
                    continue
                turns = [literal(part) for part in bounds(loop)]
                if None not in turns and turns[2] and 0 < len(_turns(turns)) <= 8:
                    yield Edit(f"write out {where}", partial(self._full, view, loop, turns))
                elif called(loop.iter) == "tl.static_range":
                    yield Edit(f"unroll {where} by two", partial(self._twice, view, loop))

    @staticmethod
    def _full(view: View, loop: cst.For, turns: Sequence[int | None]) -> cst.Module:
        copies: list[Statement] = []
        for value in _turns(turns):
            names = {variable(loop): cst.Integer(str(value))}
            copies.extend(renamed(s, names) for s in body_of(loop))
        return replaced(view.module, {loop: copies})

    @staticmethod
    def _twice(view: View, loop: cst.For) -> cst.Module:
        start, stop, step = (code(part) for part in bounds(loop))
        body = body_of(loop)
        name = variable(loop)
        second = [renamed(s, {name: expr(f"({name} + {step})")}) for s in body]
        guard = stmt(f"if {name} + {step} < {stop}:\n    pass\n")
        guarded = cst.ensure_type(guard, cst.If)
        guarded = guarded.with_changes(body=cst.IndentedBlock(body=second))
        call = expr(f"tl.static_range({start}, {stop}, 2 * ({step}))")
        new = with_body(loop.with_changes(iter=call), [*body, guarded])
        return replaced(view.module, {loop: new})


def _turns(parts: Sequence[int | None]) -> range:
    start, stop, step = (part or 0 for part in parts)
    return range(start, stop, step)


class FitLastTile(TritonOperator):
    """Halve the last tile of a static loop where the rest of its range fits in half a tile.

    A range of 96 in tiles of 64 is then done as 64 and 32, without the padding of a second 64. The
    compiler decides by the sizes it knows; where the rest needs the whole tile, nothing changes.
    The loop becomes `tl.static_range`, as tiles of different turns differ in shape. Values stay as
    they are.
    """

    name = "triton_fit_last_tile"
    weight = 1.2

    def edits(self, view: View) -> Iterator[Edit]:
        """One edit for each loop `for i in range(0, N, B)` over indices `i + tl.arange(0, B)`."""
        for kernel in view.kernels:
            for loop in loops(kernel):
                found = _tile_ranges(kernel, loop)
                if found:
                    note = f"fit the last tile of the {variable(loop)} loop of {kernel.name.value}"
                    yield Edit(note, partial(self._fit, view, loop, found))

    @staticmethod
    def _fit(view: View, loop: cst.For, found: Sequence[cst.Call]) -> cst.Module:
        _, stop, step = (_grouped(part) for part in bounds(loop))
        # tl.dot takes no tiles of less than 16.
        small = f"{stop} - {variable(loop)} <= {step} // 2 and {step} >= 32"
        size = expr(f"{step} // 2 if {small} else {step}")
        parts = ", ".join(code(part) for part in bounds(loop))
        changes: dict[cst.CSTNode, Change] = {call.args[1].value: size for call in found}
        changes[loop.iter] = expr(f"tl.static_range({parts})")
        return replaced(view.module, changes)


def _tile_ranges(kernel: cst.FunctionDef, loop: cst.For) -> list[cst.Call]:
    """The ranges that cut this loop's tiles; none when something else depends on their size."""
    try:
        start, stop, step = bounds(loop)
    except Refused:
        return []
    block = dotted(step)
    if literal(start) != 0 or not block or not all(is_static(p, kernel) for p in (stop, step)):
        return []
    if carried(loop) & _shaped_by(kernel, block) or variable(loop) in writes_of(body_of(loop)):
        return []
    found = []
    for node in walk(loop.body):
        if (
            isinstance(node, cst.BinaryOperation)
            and isinstance(node.operator, cst.Add)
            and dotted(node.left) == variable(loop)
            and called(node.right) == "tl.arange"
        ):
            call = cst.ensure_type(node.right, cst.Call)
            if len(call.args) == 2 and [code(a.value) for a in call.args] == ["0", block]:
                found.append(call)
    inside = sum(isinstance(n, cst.Name) and n.value == block for n in walk(loop.body))
    outside = [n for n in calls(kernel, "tl.arange") if block in reads(n)]
    return found if inside == len(found) == len(outside) else []


def _shaped_by(kernel: cst.FunctionDef, block: str) -> set[str]:
    """Names bound to a tile whose shape is written with this size."""
    found = set()
    for node in walk(kernel.body):
        pair = assigned(node)
        if pair is not None and any(block in reads(c) for c in calls(pair[1], *_FILLS)):
            found.add(pair[0])
    return found


_FILLS = ("tl.zeros", "tl.full")


class FuseLoops(TritonOperator):
    """Make one loop of two nested ones, so that one software pipeline runs through both.

    Lines between the loops heads are computed in every turn. The order of turns, and so every
    value, stays as it is.
    """

    name = "triton_fuse_loops"

    def edits(self, view: View) -> Iterator[Edit]:
        """One edit for each nest whose inner bounds do not depend on the outer turn."""
        for kernel in view.kernels:
            for outer, before, inner in nests(kernel):
                changed = writes(outer) | {variable(outer)}
                if all(map(_is_line, before)) and not reads_of(bounds(inner)) & changed:
                    note = f"one loop of {variable(outer)} and {variable(inner)}"
                    yield Edit(note, partial(self._fuse, view, (outer, inner), before))

    @staticmethod
    def _fuse(view: View, nest: tuple[cst.For, cst.For], before: Sequence[Statement]) -> cst.Module:
        outer, inner = nest
        if writes_of(before) & carried(inner):
            raise Refused("set up anew for each inner loop")
        name = view.fresh("turn")
        parts = [[_grouped(part) for part in bounds(loop)] for loop in (outer, inner)]
        counts = [
            stop if (start, step) == ("0", "1") else f"(({stop} - {start} + {step} - 1) // {step})"
            for start, stop, step in parts
        ]
        lines = [
            stmt(f"{variable(loop)} = {_scaled(text, start, step)}\n")
            for loop, text, (start, _, step) in (
                (outer, f"{name} // {counts[1]}", parts[0]),
                (inner, f"{name} % {counts[1]}", parts[1]),
            )
        ]
        if any(_needs_static(loop) for loop in nest):
            raise Refused("a variable that has to be a constant would be computed")
        kinds = {called(loop.iter) for loop in nest}
        kind = "tl.static_range" if kinds == {"tl.static_range"} else "range"
        shell = stmt(f"for {name} in {kind}({counts[0]} * {counts[1]}):\n    pass\n")
        body = [*lines, *before, *body_of(inner)]
        return replaced(view.module, {outer: with_body(cst.ensure_type(shell, cst.For), body)})


def _is_line(statement: Statement) -> bool:
    return assigned(statement) is not None and is_pure(statement)


def _grouped(node: cst.BaseExpression) -> str:
    text = code(node)
    return text if isinstance(node, cst.Name | cst.Integer) or node.lpar else f"({text})"


def _scaled(text: str, start: str, step: str) -> str:
    text = text if step == "1" else f"({text}) * {step}"
    return text if start == "0" else f"{start} + {text}"


class Interchange(TritonOperator):
    """Exchange two nested loops.

    Sums are then added in another order, which changes them by rounding. Applies only where nothing
    but sums, products, minima and maxima is carried from turn to turn.
    """

    name = "triton_interchange"

    def edits(self, view: View) -> Iterator[Edit]:
        """One edit for each nest with independent bounds."""
        for kernel in view.kernels:
            for outer, before, inner in nests(kernel):
                bound = writes(outer) | {variable(outer), variable(inner)}
                head = reads_of([*bounds(outer), *bounds(inner)])
                if all(map(_is_line, before)) and not head & bound:
                    note = f"exchange the {variable(outer)} and {variable(inner)} loops"
                    yield Edit(note, partial(self._exchange, view, outer, before, inner))

    @staticmethod
    def _exchange(
        view: View, outer: cst.For, before: Sequence[Statement], inner: cst.For
    ) -> cst.Module:
        body = body_of(inner)
        if not is_pure(outer) or any(not _accumulates(name, body) for name in carried(inner)):
            raise Refused("turns depend on each other")
        if writes_of(before) & (carried(inner) | carried(outer)):
            raise Refused("set up anew for each inner loop")
        new_inner = with_body(outer, [*before, *body])
        return replaced(view.module, {outer: with_body(inner, [new_inner])})


def _accumulates(name: str, body: Sequence[Statement]) -> bool:
    """Whether the name is only added to (or the like) in these lines."""
    uses = [s for s in body if name in reads(s) | writes(s)]
    if len(uses) != 1 or not isinstance(uses[0], cst.SimpleStatementLine):
        return False
    small = uses[0].body[0]
    if isinstance(small, cst.AugAssign):
        good = isinstance(small.operator, cst.AddAssign | cst.SubtractAssign | cst.MultiplyAssign)
        return good and name not in reads(small.value)
    pair = assigned(uses[0])
    return pair is not None and pair[0] == name and _is_sum_with(name, pair[1])


def _is_sum_with(name: str, value: cst.BaseExpression) -> bool:
    if isinstance(value, cst.BinaryOperation) and isinstance(value.operator, cst.Add):
        sides = [value.left, value.right]
        # A tuple that grows keeps its order.
        return (
            not _grows(value)
            and any(code(s) == name for s in sides)
            and sum(name in reads(s) for s in sides) == 1
        )
    if not isinstance(value, cst.Call):
        return False
    using = [a.value for a in value.args if name in reads(a.value)]
    if len(using) != 1 or code(using[0]) != name:
        return False
    if called(value) == "tl.dot":
        own = keyword(value, "acc") or (value.args[2].value if len(value.args) > 2 else None)
        return using[0] is own
    return called(value) in {"tl.maximum", "tl.minimum"}
