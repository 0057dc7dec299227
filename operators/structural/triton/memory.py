"""Operators on loads and stores: caches, hints for the compiler, masks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import libcst as cst

from operators.structural.triton.base import Edit, TritonOperator
from operators.structural.triton.flow import (
    bounds,
    is_static,
    literal,
    loops,
    reads,
    single_assignments,
    variable,
)
from operators.structural.triton.host import keyword, with_arguments
from operators.structural.triton.tree import (
    View,
    assigned,
    called,
    calls,
    code,
    dotted,
    expr,
    replaced,
    stmt,
    walk,
)

_LOAD = (
    *(("cache_modifier", value) for value in (".ca", ".cg")),
    *(("eviction_policy", value) for value in ("evict_first", "evict_last")),
)
_STORE = (
    *(("cache_modifier", value) for value in (".wb", ".cg", ".cs", ".wt")),
    *(("eviction_policy", value) for value in ("evict_first", "evict_last")),
)


class CacheModifier(TritonOperator):
    """Say how a load or store uses the caches: `cache_modifier` and `eviction_policy`.

    `.cg` keeps data out of the first level, `.cs` and `evict_first` mark it as used once,
    `evict_last` as used again. Never changes values of kernels that do not read what they wrote.
    """

    name = "triton_cache_modifier"

    def edits(self, view: View) -> Iterator[Edit]:
        """Every other setting of every load and store, and none at all."""
        for kernel in view.kernels:
            for number, call in enumerate(calls(kernel, "tl.load", "tl.store")):
                known = _LOAD if called(call) == "tl.load" else _STORE
                for option in ("cache_modifier", "eviction_policy"):
                    present = keyword(call, option)
                    if present is not None:
                        build = partial(self._set, view, call, option, None)
                        yield Edit(f"no {option} for access {number}", build)
                    for value in (v for o, v in known if o == option):
                        if present is None or code(present).strip("\"'") != value:
                            build = partial(self._set, view, call, option, f'"{value}"')
                            yield Edit(f"{value} for access {number} of {kernel.name.value}", build)

    @staticmethod
    def _set(view: View, call: cst.Call, option: str, value: str | None) -> cst.Module:
        return replaced(view.module, {call: with_arguments(call, {option: value})})


class AlignmentHint(TritonOperator):
    """Tell the compiler how far an index vector is contiguous or aligned, or that it is not.

    `tl.max_contiguous` and `tl.multiple_of` decide how wide loads are and how their threads are
    laid out. A claim below the truth makes loads narrower, so that neighbouring threads take
    neighbouring elements, which suits accesses that cannot be wide anyway; 1 also frees the order
    of the axes. A claim beyond the truth gives wrong values or a misaligned address.
    """

    name = "triton_alignment_hint"

    def edits(self, view: View) -> Iterator[Edit]:
        """Hints for each line that computes an index vector, and removal of those there are."""
        for kernel in view.kernels:
            vectors = index_vectors(kernel)
            for line in walk(kernel.body):
                pair = assigned(line)
                if pair is None or pair[0] not in vectors:
                    continue
                name, value = pair
                if called(value) in {"tl.max_contiguous", "tl.multiple_of"}:
                    inner = cst.ensure_type(value, cst.Call).args[0].value
                    if code(inner) == name:
                        yield Edit(f"no hint for {name}", partial(_changed, view, line, []))
                    continue
                yield from self._hints(view, line, name)

    @staticmethod
    def _hints(view: View, line: cst.CSTNode, name: str) -> Iterator[Edit]:
        for function, value, weight in (
            ("max_contiguous", 1, 0.5),
            ("max_contiguous", 2, 1.0),
            ("max_contiguous", 4, 1.0),
            ("max_contiguous", 16, 0.3),
            ("multiple_of", 2, 0.3),
            ("multiple_of", 8, 0.3),
            ("multiple_of", 16, 0.3),
        ):
            hint = stmt(f"{name} = tl.{function}({name}, {value})\n")
            yield Edit(
                f"{function}({name}, {value})", partial(_changed, view, line, [line, hint]), weight
            )


def _changed(view: View, line: cst.CSTNode, lines: list[cst.CSTNode]) -> cst.Module:
    return replaced(view.module, {line: lines})


def index_vectors(kernel: cst.FunctionDef) -> set[str]:
    """Names of one-dimensional integer vectors made from `tl.arange`."""
    found: set[str] = set()
    grew = True
    while grew:
        grew = False
        for line in walk(kernel.body):
            pair = assigned(line)
            if pair is None or pair[0] in found:
                continue
            plain = not any(
                isinstance(n, cst.Subscript | cst.Comparison)
                or (isinstance(n, cst.Call) and called(n) not in _VECTOR_CALLS)
                for n in walk(pair[1])
            )
            if plain and (calls(pair[1], "tl.arange") or reads(pair[1]) & found):
                found.add(pair[0])
                grew = True
    return found


_VECTOR_CALLS = {"tl.arange", "tl.max_contiguous", "tl.multiple_of", "tl.cdiv", "tl.program_id"}


class SimplifyMask(TritonOperator):
    """Take away mask conditions that always hold.

    A comparison with zero goes when the value is built from indices that cannot be negative. A
    bound that a static tile size divides is joined with that very question, which the compiler
    answers: `i < N` becomes `(i < N) | (N % B == 0)`. Values stay as they are.
    """

    name = "triton_simplify_mask"

    def edits(self, view: View) -> Iterator[Edit]:
        """One edit for each condition of a mask that can be shown to hold."""
        for kernel in view.kernels:
            facts = _Facts(kernel)
            for number, call in enumerate(calls(kernel, "tl.load", "tl.store")):
                mask = keyword(call, "mask")
                if mask is None:
                    continue
                for condition in _conditions(mask):
                    note = f"mask {code(condition)} of access {number} of {kernel.name.value}"
                    if facts.never_negative(condition):
                        yield Edit(note, partial(self._drop, view, call, mask, condition))
                    elif (question := facts.divides(condition)) is not None:
                        new = expr(f"(({code(condition)}) | ({question}))")
                        yield Edit(note, partial(_swapped, view, condition, new))

    @staticmethod
    def _drop(
        view: View,
        call: cst.Call,
        mask: cst.BaseExpression,
        condition: cst.BaseExpression,
    ) -> cst.Module:
        kept = [code(c) for c in _conditions(mask) if c is not condition]
        if not kept:
            return replaced(
                view.module, {call: with_arguments(call, {"mask": None, "other": None})}
            )
        text = " & ".join(t if t.startswith("(") else f"({t})" for t in kept)
        return replaced(view.module, {mask: expr(text)})


def _swapped(view: View, old: cst.CSTNode, new: cst.CSTNode) -> cst.Module:
    return replaced(view.module, {old: new})


def _conditions(mask: cst.BaseExpression | None) -> list[cst.BaseExpression]:
    """The parts of a mask joined by `&`."""
    if mask is None:
        return []
    if isinstance(mask, cst.BinaryOperation) and isinstance(mask.operator, cst.BitAnd):
        return [*_conditions(mask.left), *_conditions(mask.right)]
    return [mask]


class _Facts:
    """What is known about the values in one kernel."""

    def __init__(self, kernel: cst.FunctionDef) -> None:
        self._kernel = kernel
        self._values = single_assignments(kernel)
        self._loops = {variable(loop): loop for loop in loops(kernel)}

    def never_negative(self, condition: cst.BaseExpression) -> bool:
        """Whether the condition is `x >= 0` for an x that cannot be negative."""
        pair = _compared(condition, cst.GreaterThanEqual)
        return pair is not None and literal(pair[1]) == 0 and self._natural(pair[0], 8)

    def divides(self, condition: cst.BaseExpression) -> str | None:
        """For `i < N` the static question that makes it always true, None when there is none."""
        pair = _compared(condition, cst.LessThan)
        if pair is None or not is_static(pair[1], self._kernel):
            return None
        bound = _grouped(pair[1])
        value = self._resolved(pair[0])
        if (block := _arange(value)) is not None and is_static(block, self._kernel):
            return f"{_grouped(block)} <= {bound}"
        if isinstance(value, cst.BinaryOperation) and isinstance(value.operator, cst.Add):
            block = _arange(value.right)
            loop = self._loops.get(dotted(value.left))
            if block is not None and loop is not None and self._cuts(loop, block, pair[1]):
                return f"{bound} % {_grouped(block)} == 0"
        return None

    def _cuts(self, loop: cst.For, block: cst.BaseExpression, bound: cst.BaseExpression) -> bool:
        """Whether the loop goes from 0 to the bound in steps of the block."""
        start, stop, step = bounds(loop)
        same = code(step) == code(block) and code(stop) == code(bound)
        return literal(start) == 0 and same and is_static(block, self._kernel)

    def _resolved(self, node: cst.BaseExpression) -> cst.BaseExpression:
        for _ in range(8):
            if isinstance(node, cst.Subscript):
                node = node.value
            elif isinstance(node, cst.Name) and node.value in self._values:
                node = self._values[node.value]
            else:
                break
        return node

    def _natural(self, node: cst.BaseExpression, depth: int) -> bool:
        node = self._resolved(node)
        if depth == 0:
            return False
        if isinstance(node, cst.Integer) or called(node) in _NATURAL_CALLS:
            return True
        if isinstance(node, cst.BinaryOperation):
            # A divisor or modulus is a size; Python and Triton agree for naturals.
            kinds = cst.Add | cst.Multiply | cst.FloorDivide | cst.Modulo
            return isinstance(node.operator, kinds) and all(
                self._natural(side, depth - 1) for side in (node.left, node.right)
            )
        if not isinstance(node, cst.Name):
            return False
        loop = self._loops.get(node.value)
        if loop is not None:
            return self._natural(bounds(loop)[0], depth - 1)
        return self._is_size(node.value)

    def _is_size(self, name: str) -> bool:
        for call in calls(self._kernel, "tl.arange"):
            if len(call.args) == 2 and code(call.args[1].value) == name:
                return True
        return False


_NATURAL_CALLS = {"tl.arange", "tl.program_id", "tl.num_programs", "tl.cdiv"}


def _compared(
    node: cst.BaseExpression, operator: type[cst.BaseCompOp]
) -> tuple[cst.BaseExpression, cst.BaseExpression] | None:
    if isinstance(node, cst.Comparison) and len(node.comparisons) == 1:
        target = node.comparisons[0]
        if isinstance(target.operator, operator):
            return node.left, target.comparator
    return None


def _arange(node: cst.CSTNode) -> cst.BaseExpression | None:
    """B of `tl.arange(0, B)`."""
    if called(node) != "tl.arange":
        return None
    args = cst.ensure_type(node, cst.Call).args
    return args[1].value if len(args) == 2 and literal(args[0].value) == 0 else None


def _grouped(node: cst.BaseExpression) -> str:
    text = code(node)
    return text if isinstance(node, cst.Name | cst.Integer) or node.lpar else f"({text})"
