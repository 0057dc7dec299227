"""Work taken out of inner loops: row pointers, divisions, factors of sums."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from operators.structural.cpp import ir
from operators.structural.cpp.affine import Poly
from operators.structural.cpp.analysis import View
from operators.structural.cpp.base import CppOperator, Site, describe, element_type
from operators.structural.cpp.build import insert_before
from operators.structural.cpp.expression import (
    accesses,
    factors,
    names,
    parenthesised,
    replace_accesses,
    rewrite,
)
from operators.structural.cpp.pragmas import is_innermost
from operators.structural.cpp.references import Reference
from operators.structural.cpp.tree import Unsupported, text_of


class HoistRowPointer(CppOperator):
    """Compute the part of an index that an inner loop does not change once, as a row's pointer.

    `x[(b * n + i) * m + l]` becomes `x_row[l]` with `const float* x_row = x + (b * n + i) * m` in
    front of the loop. What it may break: nothing.
    """

    name: ClassVar[str] = "cpp_hoist_row"
    weight: ClassVar[float] = 0.02

    def sites(self, view: View) -> list[Site]:
        """Elements of arrays in loops, where part of the index stays the same."""
        found: dict[str, Site] = {}
        for reference in view.references:
            for place, loop in enumerate(reference.loops):
                inner = {f.var for f in reference.loops[place:]} | view.private(loop)
                moving = reference.index.part(inner)
                fixed = reference.index - moving
                outer = {f.var for f in reference.loops[:place]}
                if reference.leading or not moving.terms or fixed.names.isdisjoint(outer):
                    continue
                note = f"row pointer into {reference.name} for {describe(view, loop)}"
                site = Site(note, 1.0, partial(_row, view, reference, loop, fixed, moving))
                found.setdefault(note, site)
        return list(found.values())


def _row(view: View, reference: Reference, loop: ir.For, fixed: Poly, moving: Poly) -> None:
    if any("omp" in p and "simd" not in p for p in loop.pragmas):
        raise Unsupported("between a directive and its loop")
    element = element_type(view, reference.base)
    written = any(r.base == reference.base and r.is_write for r in view.references)
    declared = view.function.params.get(reference.base, "")
    const = "const " if declared.startswith("const") or not written else ""
    name = view.unit.fresh(f"{reference.base}_row")
    row = ir.Decl(f"{const}{element}", "*", name, [], f"{reference.base} + {fixed.text()}")
    wanted, new = reference.text, f"{name}[{moving.text()}]"
    for statement in ir.walk(loop):
        known = view.definitions.get(id(statement))
        if known is None:
            continue
        match statement:
            case ir.Assign():
                statement.target = _swap(statement.target, wanted, new)
                statement.value = _swap(statement.value, wanted, new)
            case ir.Decl() if statement.init is not None:
                statement.init = _swap(statement.init, wanted, new)
    insert_before(view.function.body, loop, [row])


def _swap(text: str, wanted: str, new: str) -> str:
    return replace_accesses(text, lambda a: new if a.text == wanted else None)


class ReciprocalDivision(CppOperator):
    """Divide once in front of a loop and multiply by the inverse inside.

    For divisions by something that the innermost loop does not change. What it may break: the last
    bit of the quotients.
    """

    name: ClassVar[str] = "cpp_reciprocal"
    weight: ClassVar[float] = 0.03

    def sites(self, view: View) -> list[Site]:
        """Floating-point divisions inside innermost loops by something fixed."""
        found = []
        for loop in ir.loops(view.function.body):
            if not is_innermost(loop):
                continue
            for statement in ir.walk(loop):
                for divisor in _divisors(view, loop, statement):
                    note = f"multiply by 1 / {divisor} in {describe(view, loop)}"
                    found.append(Site(note, 1.0, partial(_invert, view, loop, statement, divisor)))
        return found


def _value(statement: ir.Stmt) -> str | None:
    if isinstance(statement, ir.Assign):
        return statement.value
    if isinstance(statement, ir.Decl) and statement.scalar_type in ("float", "double"):
        return statement.init
    return None


def _divisors(view: View, loop: ir.For, statement: ir.Stmt) -> list[str]:
    value = _value(statement)
    if value is None or "/" not in value:
        return []
    fixed = view.private(loop) | {loop.var}
    assigned = {s.target for s in ir.walk(loop) if isinstance(s, ir.Assign)}
    bases = {a.base for target in assigned for a in accesses(target)}
    found: list[str] = []

    def look(node: object) -> None:
        if getattr(node, "type", "") == "subscript_expression":
            return
        if getattr(node, "type", "") == "binary_expression":
            sign = node.child_by_field_name("operator")  # type: ignore[attr-defined]
            right = node.child_by_field_name("right")  # type: ignore[attr-defined]
            left = node.child_by_field_name("left")  # type: ignore[attr-defined]
            if text_of(sign) == "/" and left.type != "number_literal":
                text = text_of(right)
                plain = right.type != "number_literal"
                if plain and names(text).isdisjoint(fixed | assigned | bases):
                    found.append(text)
        return

    rewrite(value, look)
    return list(dict.fromkeys(found))


def _invert(view: View, loop: ir.For, statement: ir.Stmt, divisor: str) -> None:
    value = _value(statement) or ""
    name = view.unit.fresh("inverse")

    def new(node: object) -> str | None:
        if getattr(node, "type", "") == "subscript_expression":
            return text_of(node)  # type: ignore[arg-type]
        if getattr(node, "type", "") != "binary_expression":
            return None
        sign = node.child_by_field_name("operator")  # type: ignore[attr-defined]
        right = node.child_by_field_name("right")  # type: ignore[attr-defined]
        left = node.child_by_field_name("left")  # type: ignore[attr-defined]
        if text_of(sign) != "/" or text_of(right) != divisor:
            return None
        inner = text_of(left)
        return f"{inner} * {name}"

    changed = rewrite(value, new)
    if isinstance(statement, ir.Assign):
        statement.value = changed
    elif isinstance(statement, ir.Decl):
        statement.init = changed
    inverse = ir.Decl("const float", "", name, [], f"1.0f / {parenthesised(divisor)}")
    insert_before(view.function.body, loop, [inverse])


class FactorOut(CppOperator):
    """Take a factor that an innermost loop does not change out of the sum.

    `for c: dot += a[c] * scale;` becomes `for c: dot += a[c]; dot *= scale;` for a sum that starts
    at zero. What it may break: the rounding of the sum; a scale of zero or infinity meets the sum
    instead of its terms.
    """

    name: ClassVar[str] = "cpp_factor_out"
    weight: ClassVar[float] = 0.03

    def sites(self, view: View) -> list[Site]:
        """Sums of products with a fixed factor, started at zero just before their loop."""
        found = []
        for loop in ir.loops(view.function.body):
            path = ir.locate(view.function.body, loop)
            if path is None or not is_innermost(loop):
                continue
            block, place = path[-1]
            for statement in loop.body.items:
                if not isinstance(statement, ir.Assign) or statement.op != "+=":
                    continue
                if accesses(statement.target) or not _starts_at_zero(
                    block, place, statement.target
                ):
                    continue
                for factor in _fixed_factors(view, loop, statement):
                    note = f"{factor} out of the sum {statement.target} over {describe(view, loop)}"
                    found.append(
                        Site(
                            note,
                            1.0,
                            partial(_factor, view, loop, statement, factor),
                        )
                    )
        return found


def _starts_at_zero(block: ir.Block, place: int, name: str) -> bool:
    for item in block.items[:place]:
        if isinstance(item, ir.Decl) and item.name == name:
            zero = (item.init or "1").rstrip("fF").rstrip("0").rstrip(".")
            return zero in ("", "0")
    return False


def _fixed_factors(view: View, loop: ir.For, statement: ir.Assign) -> list[str]:
    moving = view.private(loop) | {loop.var, statement.target}
    parts = factors(statement.value)
    fixed = [p for p in parts if names(p).isdisjoint(moving) and not accesses(p)]
    return fixed if len(parts) > len(fixed) else []


def _factor(view: View, loop: ir.For, statement: ir.Assign, factor: str) -> None:
    parts = factors(statement.value)
    parts.remove(factor)
    statement.value = " * ".join(parenthesised(p) for p in parts)
    path = ir.locate(view.function.body, loop)
    if path is None:
        raise Unsupported("the loop is not in the function")
    block, place = path[-1]
    block.items.insert(place + 1, ir.Assign(statement.target, "*=", factor))
