"""Who reads and writes which variable of a kernel, and what may move past what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import libcst as cst

from operators.structural.triton.tree import (
    Refused,
    Statement,
    assigned,
    body_of,
    called,
    calls,
    children,
    dotted,
    walk,
)

RANGES = ("range", "tl.range", "tl.static_range")
# `words` adds this function to modules; its calls load like tl.load.
PAIRS = "load_pairs"
LOADS = ("tl.load", PAIRS)
STORES = ("tl.store",)
# Calls with an effect that no motion may cross, stores aside: their targets are looked at.
_EFFECTS = ("tl.atomic", "tl.debug_barrier", "tl.device", "tl.inline_asm", "tl.call", "print")
_CALLED_PURE = (
    *("tl.", "int", "float", "min", "max", "len", "range", "triton.cdiv", "triton.next_power_of_2"),
)


def reads(node: cst.CSTNode) -> set[str]:
    """Names that the node reads anywhere inside, loop variables and targets left out."""
    found: set[str] = set()
    _collect(node, found, set())
    return found


def writes(node: cst.CSTNode) -> set[str]:
    """Names that the node binds anywhere inside."""
    found: set[str] = set()
    _collect(node, set(), found)
    return found


def reads_of(nodes: Iterable[cst.CSTNode]) -> set[str]:
    """What any of these nodes reads."""
    return {name for node in nodes for name in reads(node)}


def writes_of(nodes: Iterable[cst.CSTNode]) -> set[str]:
    """What any of these nodes binds."""
    return {name for node in nodes for name in writes(node)}


def _collect(node: cst.CSTNode, read: set[str], written: set[str]) -> None:
    match node:
        case cst.Name():
            read.add(node.value)
        case cst.Attribute():
            _collect(node.value, read, written)
        case cst.Arg():
            _collect(node.value, read, written)
        case cst.AssignTarget():
            _target(node.target, read, written)
        case cst.AnnAssign():
            _target(node.target, read, written)
            if node.value is not None:
                _collect(node.value, read, written)
        case cst.AugAssign():
            _target(node.target, read, written)
            _collect(node.target, read, written)
            _collect(node.value, read, written)
        case cst.For():
            _target(node.target, read, written)
            for part in (node.iter, node.body):
                _collect(part, read, written)
        case cst.NamedExpr():
            _target(node.target, read, written)
            _collect(node.value, read, written)
        case _:
            for child in children(node):
                _collect(child, read, written)


def _target(node: cst.CSTNode, read: set[str], written: set[str]) -> None:
    if isinstance(node, cst.Name):
        written.add(node.value)
    elif isinstance(node, cst.Tuple | cst.List):
        for element in node.elements:
            _target(element.value, read, written)
    else:
        _collect(node, read, written)


def early_reads(body: Sequence[Statement]) -> set[str]:
    """Names that the statements, run in order, read before they are sure to have bound them."""
    bound: set[str] = set()
    early: set[str] = set()
    for statement in body:
        if isinstance(statement, cst.For) and isinstance(statement.body, cst.IndentedBlock):
            inner = early_reads(body_of(statement)) - {dotted(statement.target)}
            early |= (inner | reads(statement.iter)) - bound
        else:
            early |= reads(statement) - bound
        if isinstance(statement, cst.SimpleStatementLine):
            bound |= writes(statement)
    return early


def carried(loop: cst.For) -> set[str]:
    """Names whose value goes from one turn of the loop into a later one."""
    body = body_of(loop)
    return early_reads(body) & (writes_of(body) - writes(loop.target))


# Trees do not change, so what was found out about one stays true; few are in use at a time.
@lru_cache(maxsize=128)
def loops(node: cst.CSTNode) -> tuple[cst.For, ...]:
    """Counting loops over one variable with an indented body and no else, outermost first."""
    return tuple(n for n in walk(node) if isinstance(n, cst.For) and _is_counting(n))


def _is_counting(loop: cst.For) -> bool:
    return (
        isinstance(loop.target, cst.Name)
        and isinstance(loop.body, cst.IndentedBlock)
        and loop.orelse is None
        and called(loop.iter) in RANGES
        and not any(isinstance(n, cst.Break | cst.Continue | cst.Return) for n in walk(loop.body))
    )


def variable(loop: cst.For) -> str:
    """The loop's variable."""
    return cst.ensure_type(loop.target, cst.Name).value


def bounds(loop: cst.For) -> tuple[cst.BaseExpression, cst.BaseExpression, cst.BaseExpression]:
    """Start, stop and step of a counting loop; Refused when they are not plain."""
    call = cst.ensure_type(loop.iter, cst.Call)
    plain = [a.value for a in call.args if a.keyword is None and not a.star]
    if len(plain) != sum(a.keyword is None for a in call.args) or not 1 <= len(plain) <= 3:
        raise Refused("unusual loop bounds")
    start: cst.BaseExpression = cst.Integer("0")
    step: cst.BaseExpression = cst.Integer("1")
    if len(plain) == 1:
        return start, plain[0], step
    return plain[0], plain[1], plain[2] if len(plain) == 3 else step


@lru_cache(maxsize=32)
def constexprs(kernel: cst.FunctionDef) -> frozenset[str]:
    """Parameters and local names annotated `tl.constexpr`."""
    names = {
        p.name.value
        for p in kernel.params.params
        if p.annotation is not None and dotted(p.annotation.annotation).endswith("constexpr")
    }
    for node in walk(kernel.body):
        if (
            isinstance(node, cst.AnnAssign)
            and isinstance(node.target, cst.Name)
            and dotted(node.annotation.annotation).endswith("constexpr")
        ):
            names.add(node.target.value)
    return frozenset(names)


def is_static(node: cst.BaseExpression, kernel: cst.FunctionDef) -> bool:
    """Whether the expression is known when the kernel is compiled.

    Counts constexpr names, variables of loops over `tl.static_range`, literals and arithmetic.
    """
    known = constexprs(kernel) | {
        variable(loop) for loop in loops(kernel) if called(loop.iter) == "tl.static_range"
    }
    strange = (cst.Subscript, cst.Attribute, cst.IfExp, cst.Lambda)
    return reads(node) - {"min", "max"} <= known and not any(
        isinstance(n, strange) or (isinstance(n, cst.Call) and called(n) not in {"min", "max"})
        for n in walk(node)
    )


def literal(node: cst.CSTNode) -> int | None:
    """The value of an integer literal."""
    try:
        return int(node.value, 0) if isinstance(node, cst.Integer) else None
    except ValueError:
        return None


def pointers(kernel: cst.FunctionDef, node: cst.CSTNode) -> set[str]:
    """The pointer parameters that addresses computed inside the node may come from.

    Follows local names back to parameters, so it is an upper bound.
    """
    parameters = {p.name.value for p in kernel.params.params}
    definitions = _definitions(kernel)
    found: set[str] = set()
    todo = list(reads(node))
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in parameters:
            found.add(name)
        todo.extend(definitions.get(name, ()))
    return found & pointer_parameters(kernel)


@lru_cache(maxsize=32)
def _definitions(kernel: cst.FunctionDef) -> dict[str, frozenset[str]]:
    """For every name that a line binds, the names these lines read."""
    found: dict[str, frozenset[str]] = {}
    for statement in walk(kernel.body):
        if isinstance(statement, cst.SimpleStatementLine):
            for name in writes(statement):
                found[name] = found.get(name, frozenset()) | reads(statement)
    return found


@lru_cache(maxsize=32)
def pointer_parameters(kernel: cst.FunctionDef) -> frozenset[str]:
    """Parameters that are pointers or descriptors, by use: base of an address or of an attribute.

    A parameter whose name says pointer or descriptor counts as well.
    """
    parameters = [p.name.value for p in kernel.params.params]
    found = {n for n in parameters if n.endswith(("_ptr", "_desc", "ptr", "desc"))}
    for node in walk(kernel.body):
        if isinstance(node, cst.Attribute) and isinstance(node.value, cst.Name):
            found.add(node.value.value)
        accesses = (*LOADS, *STORES, "tl.atomic")
        if isinstance(node, cst.Call) and node.args and called(node).startswith(accesses):
            found.add(_base(node.args[0].value))
    return frozenset(found & set(parameters))


def _base(node: cst.BaseExpression) -> str:
    while isinstance(node, cst.BinaryOperation):
        node = node.left
    return dotted(node)


def is_pure(node: cst.CSTNode) -> bool:
    """Whether running the node only computes values: no store, no atomic, no unknown call."""
    return not any(
        isinstance(n, cst.Call) and not _is_pure_call(n) for n in walk(node)
    ) and not any(isinstance(n, cst.While | cst.Assert | cst.Raise | cst.Yield) for n in walk(node))


def _is_pure_call(call: cst.Call) -> bool:
    name = called(call)
    if name in STORES or name.startswith(_EFFECTS):
        return False
    if name:
        return (
            name == PAIRS
            or name.startswith(_CALLED_PURE)
            or name.split(".")[-1] in {"to", "trans", "reshape"}
        )
    # A method of a value: `acc.to(...)`, `x.dtype.element_ty`; anything else is unknown.
    return isinstance(call.func, cst.Attribute)


def may_cross(kernel: cst.FunctionDef, moved: cst.CSTNode, fixed: Iterable[cst.CSTNode]) -> bool:
    """Whether a pure statement may move past these statements, memory considered.

    A load may pass a store when their addresses come from different pointers; different pointer
    arguments are taken not to overlap.
    """
    loaded = set[str]().union(*(pointers(kernel, c) for c in calls(moved, *LOADS)))
    for statement in fixed:
        stores = calls(statement, *STORES)
        others = [
            n
            for n in walk(statement)
            if isinstance(n, cst.Call) and not _is_pure_call(n) and n not in stores
        ]
        if calls(moved, *LOADS) and others:
            return False
        if any(loaded & pointers(kernel, call.args[0]) for call in stores if call.args):
            return False
    return True


def nests(kernel: cst.FunctionDef) -> Iterator[tuple[cst.For, list[Statement], cst.For]]:
    """Loops whose last statement is a loop: (outer, what stands before the inner, inner)."""
    for outer in loops(kernel):
        *before, last = body_of(outer)
        if isinstance(last, cst.For) and last in loops(outer):
            yield outer, before, last


def single_assignments(kernel: cst.FunctionDef) -> dict[str, cst.BaseExpression]:
    """Names that exactly one line of the kernel binds, with the value bound."""
    counts: dict[str, int] = {}
    values: dict[str, cst.BaseExpression] = {}
    for node in walk(kernel.body):
        if isinstance(node, cst.SimpleStatementLine):
            for name in writes(node):
                counts[name] = counts.get(name, 0) + 1
            if (pair := assigned(node)) is not None:
                values[pair[0]] = pair[1]
        elif isinstance(node, cst.For):
            for name in writes(node.target) or {dotted(node.target)}:
                counts[name] = counts.get(name, 0) + 2
    return {name: value for name, value in values.items() if counts[name] == 1}
