"""Operators that move computation: out of loops, and loads ahead of what uses them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import libcst as cst

from operators.structural.triton.base import Edit, TritonOperator
from operators.structural.triton.flow import (
    LOADS,
    bounds,
    carried,
    is_pure,
    is_static,
    loops,
    may_cross,
    reads,
    reads_of,
    variable,
    writes,
    writes_of,
)
from operators.structural.triton.tree import (
    Change,
    Refused,
    Statement,
    View,
    assigned,
    body_of,
    called,
    code,
    expr,
    renamed,
    replaced,
    stmt,
    with_body,
)


class Hoist(TritonOperator):
    """Move what does not change in a loop in front of it, loads included.

    A load inside static loops (or loops that can be) is moved as a whole family: a tuple with the
    value of every turn is built in front, and the loop picks from it. Weights that every tile needs
    then stay in registers or shared memory. Values stay as they are, provided that different
    pointer arguments do not overlap; a large family may not fit, or spill.
    """

    name = "triton_hoist"
    weight = 1.5

    def edits(self, view: View) -> Iterator[Edit]:
        """Lines, then families of loads, out of each loop."""
        for kernel in view.kernels:
            for loop in loops(kernel):
                for line in body_of(loop):
                    if _movable(kernel, loop, line):
                        note = f"hoist {_first(line)} out of the {variable(loop)} loop"
                        yield Edit(note, partial(_moved_out, view, loop, line))
            for family in _families(kernel):
                for outer in family.around:
                    note = f"hoist all {family.name} out of the {variable(outer)} loop"
                    yield Edit(note, partial(_collected, view, family, outer), 2.0)


class LoadsFirst(TritonOperator):
    """Split a static loop in two: first all its loads, then what uses them.

    The loads are kept in a tuple, so that all are under way before the first is waited for. Loops
    with static bounds become `tl.static_range`. Values stay as they are, provided that different
    pointer arguments do not overlap; needs registers for everything loaded, and may spill.
    """

    name = "triton_loads_first"

    def edits(self, view: View) -> Iterator[Edit]:
        """One edit for each load in a nest of loops with static bounds."""
        for kernel in view.kernels:
            for family in _families(kernel):
                note = f"all {family.name} before the {variable(family.nest[0])} loop"
                yield Edit(note, partial(_collected, view, family, family.nest[0]))


def _first(line: Statement) -> str:
    pair = assigned(line)
    return pair[0] if pair else code(line)[:30]


def _movable(kernel: cst.FunctionDef, loop: cst.For, line: Statement) -> bool:
    """Whether a line of the loop's own body may run once, in front of the loop."""
    if assigned(line) is None or not is_pure(line) or _needs_body(line, loop):
        return False
    others = [s for s in body_of(loop) if s is not line]
    bound = writes(line)
    return (
        not reads(line) & writes(loop)
        and not bound & writes_of(others)
        and not bound & carried(loop)
        and may_cross(kernel, line, others)
    )


def _needs_body(line: Statement, loop: cst.For) -> bool:
    # A counter that starts at a constant, say `acc = tl.zeros(...)`, is set up anew on purpose when
    # an inner loop changes it: that is excluded by the writes of the other statements.
    return variable(loop) in reads(line)


def _moved_out(view: View, loop: cst.For, line: Statement) -> cst.Module:
    rest = [s for s in body_of(loop) if s is not line]
    return replaced(view.module, {loop: [line, with_body(loop, rest)]})


@dataclass(frozen=True)
class _Family:
    """A load inside a nest of loops whose bounds are known at compile time.

    Attributes:
        line: The line `name = tl.load(...)`, directly in the innermost loop.
        nest: The loops around it with static bounds, outermost first.
        around: Further loops around the nest that it may leave, innermost first.
        needed: Lines of the nest's bodies that the load's address depends on, by loop.
    """

    name: str
    line: Statement
    nest: tuple[cst.For, ...]
    around: tuple[cst.For, ...]
    needed: tuple[tuple[Statement, ...], ...]


def _families(kernel: cst.FunctionDef) -> list[_Family]:
    found = []
    every = loops(kernel)
    for inner in every:
        chain = [inner]
        while (parent := next((p for p in every if chain[0] in body_of(p)), None)) is not None:
            chain.insert(0, parent)
        # A static loop around a static loop belongs to the nest, a dynamic one ends it.
        at = len(chain)
        while at and _has_static_bounds(chain[at - 1], kernel):
            at -= 1
        if at == len(chain):
            continue
        for line in body_of(inner):
            pair = assigned(line)
            if pair is not None and called(pair[1]) in LOADS:
                family = _family(kernel, line, pair[0], chain[:at], chain[at:])
                if family is not None:
                    found.append(family)
    return found


def _has_static_bounds(loop: cst.For, kernel: cst.FunctionDef) -> bool:
    try:
        return all(is_static(part, kernel) for part in bounds(loop))
    except Refused:
        return False


def _family(
    kernel: cst.FunctionDef,
    line: Statement,
    name: str,
    around: Sequence[cst.For],
    nest: Sequence[cst.For],
) -> _Family | None:
    wanted = reads(line)
    needed: list[tuple[Statement, ...]] = []
    for loop in reversed(nest):
        body = body_of(loop)
        inner = line if loop is nest[-1] else nest[nest.index(loop) + 1]
        lines: list[Statement] = []
        for statement in reversed(body[: body.index(inner)]):
            if not writes(statement) & wanted:
                continue
            if assigned(statement) is None or not is_pure(statement):
                return None
            lines.insert(0, statement)
            wanted = (wanted - writes(statement)) | reads(statement)
        wanted |= {n for part in bounds(loop) for n in reads(part)}
        needed.insert(0, tuple(lines))
    kept = [s for lines in needed for s in lines]
    own = {variable(loop) for loop in nest} | writes_of(kept)
    outside = (reads(line) | reads_of(kept)) - own
    whole = nest[0]
    if outside & writes(whole) or writes_of([line]) & carried(nest[-1]):
        return None
    if not may_cross(kernel, line, body_of(whole)):
        return None
    out = []
    for loop in reversed(around):
        if outside & (writes(loop) | {variable(loop)}) or not may_cross(kernel, line, [loop]):
            break
        out.append(loop)
    return _Family(name, line, tuple(nest), tuple(out), tuple(needed))


def _collected(view: View, family: _Family, before: cst.For) -> cst.Module:
    """The module with the family's loads in a tuple built in front of the loop `before`."""
    store = view.fresh(f"all_{family.name}")
    names = {
        name: expr(view.fresh(f"{name}_{family.name}"))
        for name in {
            *(variable(loop) for loop in family.nest),
            *writes_of([s for lines in family.needed for s in lines]),
        }
    }
    pair = assigned(family.line)
    if pair is None:
        raise Refused("not a load")
    value = renamed(pair[1], names)
    inside: list[Statement] = [stmt(f"{store} = {store} + ({code(value)},)\n")]
    for loop, lines in zip(reversed(family.nest), reversed(family.needed), strict=True):
        body = [*(renamed(s, names) for s in lines), *inside]
        target = code(names[variable(loop)])
        parts = ", ".join(code(renamed(p, names)) for p in bounds(loop))
        shell = stmt(f"for {target} in tl.static_range({parts}):\n    pass\n")
        inside = [with_body(cst.ensure_type(shell, cst.For), body)]
    pick = stmt(f"{family.name} = {store}[{_turn(family.nest)}]\n")
    changes: dict[cst.CSTNode, Change] = {family.line: pick}
    changes.update(_made_static(family.nest, before))
    top = replaced(before, changes)
    if before in family.nest:
        top = _static(top)
    return replaced(view.module, {before: [stmt(f"{store} = ()\n"), *inside, top]})


def _made_static(nest: Sequence[cst.For], before: cst.For) -> dict[cst.CSTNode, cst.CSTNode]:
    return {
        loop.iter: _static(loop).iter
        for loop in nest
        if loop is not before and called(loop.iter) != "tl.static_range"
    }


def _static(loop: cst.For) -> cst.For:
    parts = ", ".join(code(part) for part in bounds(loop))
    if called(loop.iter) == "tl.static_range":
        return loop
    return loop.with_changes(iter=expr(f"tl.static_range({parts})"))


def _turn(nest: Sequence[cst.For]) -> str:
    """Number of the present turn of a nest, counted from 0 in the order of running."""
    text = ""
    for loop in nest:
        start, stop, step = (_grouped(part) for part in bounds(loop))
        offset = variable(loop) if start == "0" else f"({variable(loop)} - {start})"
        place = offset if step == "1" else f"{offset} // {step}"
        span = stop if start == "0" else f"({stop} - {start})"
        # Not tl.cdiv: an index into a tuple has to stay a compile-time number.
        count = span if step == "1" else f"(({span} + {step} - 1) // {step})"
        text = f"{text} * {count} + {place}" if text else place
        text = text if loop is nest[-1] else _grouped(expr(text))
    return text


def _grouped(node: cst.BaseExpression) -> str:
    text = code(node)
    return text if isinstance(node, cst.Name | cst.Integer) or node.lpar else f"({text})"
