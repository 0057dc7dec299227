"""Explicit vectors: W iterations of an outer loop as one, with vector types of the compiler."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from operators.structural.cpp import ir
from operators.structural.cpp.analysis import View
from operators.structural.cpp.base import CppOperator, Site, describe, element_type
from operators.structural.cpp.build import UNROLL, constant, insert_before, tile
from operators.structural.cpp.expression import (
    Access,
    accesses,
    names,
    replace_accesses,
    substitute,
)
from operators.structural.cpp.taint import dependents, uses
from operators.structural.cpp.tree import Unsupported, parse_expression, text_of, walk
from operators.structural.cpp.unit import INTEGERS

LANES = (4, 8, 16)
_ELEMENTS = {"float": 4, "double": 8}
_ARITHMETIC = {
    "binary_expression",
    "parenthesized_expression",
    "unary_expression",
    "number_literal",
    "identifier",
    "subscript_expression",
    "subscript_argument_list",
}


class ExplicitVectors(CppOperator):
    """Vectorise an independent loop at any depth: W iterations become the lanes of a vector.

    Elements that lie next to each other in the loop's direction are loaded and stored as vectors,
    variables that differ between iterations become vectors, everything else stays a scalar and is
    broadcast by the arithmetic. GCC's and Clang's vector types are used, no intrinsics, so any
    instruction set works. W is a launch parameter. Only +, -, * and / on elements of one type, no
    branches and calls. What it may break: an expression that mixes in double or integer scalars may
    not compile; a loop with fewer iterations than W runs in a scalar remainder.
    """

    name: ClassVar[str] = "cpp_explicit_vectors"
    weight: ClassVar[float] = 0.1

    def sites(self, view: View) -> list[Site]:
        """Independent loops whose elements can all be lanes or scalars."""
        return [
            Site(
                f"vectorise {describe(view, loop)}",
                0.02 + view.share(loop),
                partial(_vectorise, view, loop),
            )
            for loop in view.hot_loops
            if _fits(view, loop)
        ]


def _fits(view: View, loop: ir.For) -> bool:
    if loop.step != "1" or UNROLL in loop.pragmas or any("parallel" in p for p in loop.pragmas):
        return False
    limits = view.trip_limits(loop)
    if limits is not None and limits[0] < min(LANES):
        return False
    if any(isinstance(s, ir.If) or _is_directed(s) for s in ir.walk(loop.body)):
        return False
    moving = dependents(loop.body, loop.var) | {loop.var}
    if any(uses(f, moving) for f in ir.loops(loop.body)) or not view.is_independent(loop):
        return False
    try:
        kinds, wide = _classify(view, loop)
    except Unsupported:
        return False
    return len(kinds) == 1 and bool(wide)


def _is_directed(statement: ir.Stmt) -> bool:
    """Whether threads or atomicity are asked for on a statement."""
    return any("omp" in p and "simd" not in p for p in statement.pragmas)


def _strides(view: View, loop: ir.For) -> dict[tuple[int, str], bool]:
    """(statement, subscript) -> whether it moves by one element per iteration.

    Raises Unsupported when it moves by anything else than 0 or 1, or is a vector already.
    """
    found = {}
    for reference in view.within(loop):
        stride = reference.index.coefficient(loop.var)
        if stride is None or stride.number not in (0, 1) or reference.lanes.number != 1:
            raise Unsupported("elements neither next to each other nor the same")
        if any(loop.var in i.names for i in reference.leading):
            raise Unsupported("a row per iteration")
        if stride.number == 1 and reference.name in view.private(loop):
            raise Unsupported("an array of the iteration's own, indexed by the iteration")
        found[(id(reference.statement), reference.text)] = stride.number == 1
    return found


def _classify(view: View, loop: ir.For) -> tuple[set[str], set[str]]:
    """(element types involved, names of variables that become vectors)."""
    strides = _strides(view, loop)
    kinds: set[str] = set()
    wide: set[str] = set()
    private = {s.name: s for s in ir.walk(loop) if isinstance(s, ir.Decl)}
    while True:
        before = len(wide)
        for statement in ir.walk(loop):
            for target, value in _flows(statement):
                if not _is_wide(value, statement, strides, wide):
                    continue
                _check(value, loop)
                base = accesses(target)[0].base if accesses(target) else target
                if base in private:
                    kinds.add(private[base].scalar_type)
                    wide.add(base)
                elif not strides.get((id(statement), target)):
                    raise Unsupported("lanes flow into one element")
        if len(wide) == before:
            break
    stored = [r for r in view.within(loop) if strides[(id(r.statement), r.text)]]
    kinds |= {element_type(view, r.base) for r in stored}
    if not kinds <= set(_ELEMENTS) or not any(r.is_write for r in stored):
        raise Unsupported("not one type of elements")
    return kinds, wide


def _flows(statement: ir.Stmt) -> list[tuple[str, str]]:
    match statement:
        case ir.Decl() if statement.init is not None:
            return [(statement.name, statement.init)]
        case ir.Assign():
            return [(statement.target, statement.value)]
    return []


def _is_wide(
    value: str, statement: ir.Stmt, strides: dict[tuple[int, str], bool], wide: set[str]
) -> bool:
    """Whether the value differs between lanes."""
    if any(strides.get((id(statement), a.text), False) for a in accesses(value)):
        return True
    outside = replace_accesses(value, lambda a: a.base if a.base in wide else "0")
    return not names(outside).isdisjoint(wide)


def _check(value: str, loop: ir.For) -> None:
    """Raise Unsupported when a vector expression holds something other than arithmetic."""
    outside = replace_accesses(value, lambda _: "e")
    for node in walk(parse_expression(outside)):
        if node.is_named and node.type not in _ARITHMETIC:
            raise Unsupported(f"{node.type} on vectors")
        if node.type == "identifier" and text_of(node) == loop.var:
            raise Unsupported("the position itself is a value")


def _vectorise(view: View, loop: ir.For) -> None:
    kinds, wide = _classify(view, loop)
    strides = _strides(view, loop)
    element = next(iter(kinds))
    limits = view.trip_limits(loop)
    lanes = [n for n in LANES if limits is None or n <= limits[0]]
    size = view.unit.fresh("LANES")
    vector = view.unit.fresh(f"{element}_v")
    around = ir.enclosing(view.function.body, loop)
    whole = tile(view, loop, size, lanes, repeatable=view.is_repeatable(loop))
    if whole is None:
        raise Unsupported("the loop is too short")
    statements, block = whole
    integers = _integers(view, element)
    for statement in ir.walk(block):
        _widen(statement, strides, wide, vector, integers)
    for inner in ir.loops(block):
        inner.pragmas = [p for p in inner.pragmas if "simd" not in p and "ivdep" not in p]
    statements[-1 if len(statements) == 1 else 1].pragmas = [
        p for p in loop.pragmas if "simd" not in p and "ivdep" not in p
    ]
    place: ir.Stmt = around[0] if around else statements[0]
    ir.replace(view.function.body, loop, statements)
    width = f"{size} * sizeof({element})"
    attributes = f"vector_size({width}), aligned({_ELEMENTS[element]}), may_alias"
    insert_before(
        view.function.body,
        place,
        [
            constant(size, str(max(lanes)), tune=lanes),
            ir.Raw(f"typedef {element} {vector} __attribute__(({attributes}));"),
        ],
    )


def _widen(
    statement: ir.Stmt,
    strides: dict[tuple[int, str], bool],
    wide: set[str],
    vector: str,
    whole: dict[str, str],
) -> None:
    def load(access: Access) -> str | None:
        moves = strides.get((id(statement), access.text), False)
        return f"*(const {vector}*)&{access.text}" if moves else None

    def value(text: str) -> str:
        if _is_wide(text, statement, strides, wide):
            return _outside_subscripts(text, whole, load)
        return _splat(text, vector)

    match statement:
        case ir.Decl() if statement.name in wide:
            const = "const " if statement.type.startswith("const ") else ""
            statement.type = f"{const}{vector}"
            if statement.init is not None and not statement.dims:
                statement.init = value(statement.init)
        case ir.Assign():
            moves = strides.get((id(statement), statement.target), False)
            found = accesses(statement.target)
            base = found[0].base if found else statement.target
            if moves:
                statement.value = value(statement.value)
                statement.target = f"*({vector}*)&{statement.target}"
            elif base in wide:
                is_wide = _is_wide(statement.value, statement, strides, wide)
                compound = statement.op != "="
                if is_wide or not compound:
                    statement.value = value(statement.value)


def _integers(view: View, element: str) -> dict[str, str]:
    """Integer scalars, which vectors do not mix with, to their conversions."""
    found = {
        s.name: s.scalar_type
        for s in ir.walk(view.function.body)
        if isinstance(s, ir.Decl) and s.is_scalar
    }
    found |= {f.var: f.type for f in view.hot_loops}
    found |= {
        name: text.replace("const", "").rpartition(name)[0].strip()
        for name, text in view.function.params.items()
    }
    return {name: f"{element}({name})" for name, kind in found.items() if kind in INTEGERS}


def _outside_subscripts(
    text: str, values: dict[str, str], load: Callable[[Access], str | None]
) -> str:
    """Replace names outside subscripts, and subscripts by their loads."""
    held: list[str] = []

    def hold(access: Access) -> str:
        held.append(load(access) or access.text)
        return f"held_{len(held) - 1}_"

    text = substitute(replace_accesses(text, hold), values)
    for place, access in enumerate(held):
        text = text.replace(f"held_{place}_", access)
    return text


def _splat(text: str, vector: str) -> str:
    number = text.rstrip("fF")
    if number.replace(".", "").strip("0") == "" and number:
        return f"{vector}{{}}"
    plain = parse_expression(text).type in ("identifier", "subscript_expression", "number_literal")
    return f"{text if plain else f'({text})'} + {vector}{{}}"
