"""Operators on the arithmetic of tiles: precision of products, accumulators, orientation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import libcst as cst

from operators.structural.triton.base import Edit, TritonOperator
from operators.structural.triton.flow import PAIRS, loops, reads, writes
from operators.structural.triton.host import keyword, with_arguments
from operators.structural.triton.tree import (
    Change,
    Refused,
    View,
    assigned,
    called,
    calls,
    code,
    dotted,
    expr,
    replaced,
    walk,
)

_PRECISIONS = ("ieee", "tf32x3", "bf16x3", "tf32")


class DotPrecision(TritonOperator):
    """Change how products of float32 tiles are computed (`input_precision` of `tl.dot`).

    "ieee" uses no tensor cores; "tf32x3" and "bf16x3" split each operand in parts (relative error
    about 1e-7 and 3e-6 of a sum); "tf32" cuts operands to 10 bits (about 5e-4). Float16 and
    bfloat16 operands are not affected.
    """

    name = "triton_dot_precision"
    weight = 0.5

    def edits(self, view: View) -> Iterator[Edit]:
        """Every other precision, for all products of a kernel together."""
        for kernel in view.kernels:
            dots = calls(kernel, "tl.dot")
            present = {code(v).strip("\"'") for d in dots if (v := keyword(d, "input_precision"))}
            for precision in _PRECISIONS if dots else ():
                if present != {precision}:
                    note = f"{precision} products in {kernel.name.value}"
                    yield Edit(note, partial(self._set, view, dots, precision))

    @staticmethod
    def _set(view: View, dots: list[cst.Call], precision: str) -> cst.Module:
        keywords = {"input_precision": f'"{precision}"', "allow_tf32": None}
        return replaced(view.module, {d: with_arguments(d, keywords) for d in dots})


class AccumulatorType(TritonOperator):
    """Keep sums of products in float16 instead of float32, or the other way round.

    Half the registers and twice the rate on some tensor cores; breaks sums that need more than 11
    bits or leave float16's range. Does not compile where operands are not float16.
    """

    name = "triton_accumulator_type"
    weight = 0.3

    def edits(self, view: View) -> Iterator[Edit]:
        """One edit for each accumulator that starts as `tl.zeros` and only `tl.dot` updates."""
        for kernel in view.kernels:
            for line in walk(kernel.body):
                pair = assigned(line)
                if pair is None or called(pair[1]) != "tl.zeros":
                    continue
                zeros = cst.ensure_type(pair[1], cst.Call)
                kind = _dtype(zeros)
                dots = _updates(kernel, pair[0])
                if kind is None or not dots:
                    continue
                other = "float16" if dotted(kind) == "tl.float32" else "float32"
                note = f"{other} sums in {pair[0]} of {kernel.name.value}"
                yield Edit(note, partial(self._set, view, kind, dots, other))

    @staticmethod
    def _set(view: View, kind: cst.CSTNode, dots: list[cst.Call], other: str) -> cst.Module:
        out = "tl.float16" if other == "float16" else None
        changes: dict[cst.CSTNode, Change] = {
            d: with_arguments(d, {"out_dtype": out}) for d in dots
        }
        return replaced(view.module, {kind: expr(f"tl.{other}"), **changes})


def _dtype(zeros: cst.Call) -> cst.BaseExpression | None:
    plain = [a.value for a in zeros.args if a.keyword is None]
    kind = keyword(zeros, "dtype") or (plain[1] if len(plain) > 1 else None)
    return kind if kind is not None and dotted(kind) in {"tl.float32", "tl.float16"} else None


def _updates(kernel: cst.FunctionDef, name: str) -> list[cst.Call]:
    """Products that update the name inside loops; empty when something else does there."""
    found = []
    for loop in loops(kernel):
        for line in walk(loop.body):
            if isinstance(line, cst.SimpleStatementLine) and name in writes(line) & reads(line):
                pair = assigned(line)
                if pair is None or called(pair[1]) != "tl.dot":
                    return []
                call = cst.ensure_type(pair[1], cst.Call)
                if call not in found:
                    found.append(call)
    return found


class TransposeTiles(TritonOperator):
    """Turn every two-dimensional tile of a kernel the other way round.

    `a[:, None]` becomes `a[None, :]`, `tl.dot(a, b)` becomes `tl.dot(b, a)`: another operand is
    then the one kept in registers, and layouts and bank conflicts change. Values stay, up to the
    order of additions. Kernels with reductions along an axis or other operations on shapes are left
    alone.
    """

    name = "triton_transpose_tiles"
    weight = 0.7
    _shaped = (
        *("tl.sum", "tl.max", "tl.min", "tl.argmax", "tl.argmin", "tl.cumsum", "tl.reduce"),
        *("tl.reshape", "tl.view", "tl.trans", "tl.permute", "tl.join", "tl.split", "tl.full"),
        *("tl.broadcast_to", "tl.expand_dims", "tl.gather", "tl.sort", "tl.cat", "tl.softmax"),
        *("tl.make_block_ptr", "tl.make_tensor_descriptor", "tl.associative_scan", "tl.ravel"),
    )

    def edits(self, view: View) -> Iterator[Edit]:
        """One edit for each kernel whose tiles all come from indexing with None."""
        for kernel in view.kernels:
            if calls(kernel, "tl.dot") and not calls(kernel, *self._shaped, PAIRS):
                yield Edit(
                    f"tiles of {kernel.name.value} the other way round",
                    partial(self._turn, view, kernel),
                )

    @staticmethod
    def _turn(view: View, kernel: cst.FunctionDef) -> cst.Module:
        changes: dict[cst.CSTNode, Change] = {}
        for node in walk(kernel.body):
            if isinstance(node, cst.Subscript) and len(node.slice) == 2:
                texts = [code(s).rstrip(",").strip() for s in node.slice]
                if sorted(texts) != [":", "None"]:
                    raise Refused("an unusual index")
                changes[node] = expr(f"{code(node.value)}[{texts[1]}, {texts[0]}]")
            elif isinstance(node, cst.Attribute) and node.attr.value in {"T", "reshape", "trans"}:
                raise Refused("an explicit change of shape")
            elif called(node) == "tl.dot":
                call = cst.ensure_type(node, cst.Call)
                if len(call.args) < 2 or any(a.keyword is not None for a in call.args[:2]):
                    raise Refused("unusual operands")
                first, second = call.args[0].value, call.args[1].value
                if calls(first, "tl.dot") or calls(second, "tl.dot"):
                    raise Refused("a product of products")
                changes[first], changes[second] = second, first
            elif called(node) == "tl.zeros":
                shape = cst.ensure_type(node, cst.Call).args[0].value
                if not isinstance(shape, cst.List | cst.Tuple):
                    raise Refused("a shape with a name")
                if len(shape.elements) == 2:
                    a, b = (code(e.value) for e in shape.elements)
                    changes[shape] = expr(f"[{b}, {a}]")
        if any(isinstance(changes.get(n), cst.CSTNode) and _inside(n, changes) for n in changes):
            raise Refused("edits inside edits")
        return replaced(view.module, changes)


def _inside(node: cst.CSTNode, others: dict[cst.CSTNode, Change]) -> bool:
    return any(below is not node and below in others for below in walk(node))
