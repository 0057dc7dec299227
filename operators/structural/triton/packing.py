"""The operator that stores an operand in another order before the launch."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import libcst as cst

from operators.structural.triton.base import Edit, TritonOperator
from operators.structural.triton.flow import (
    constexprs,
    loops,
    pointer_parameters,
    pointers,
    reads,
    variable,
)
from operators.structural.triton.host import argument, keyword
from operators.structural.triton.tree import (
    Change,
    Refused,
    View,
    calls,
    code,
    dotted,
    expr,
    replaced,
    walk,
)

# Part of a note of `PackOperand`, which recipes ask for.
SCALARS_OUTERMOST = "scalars outermost"


class PackOperand(TritonOperator):
    """Copy an operand into another order of its dimensions before each launch.

    The kernel's addresses are read as a row-major index (`a * (N * K) + b * K + c` has dimensions
    of size any, N and K) and rewritten for a permuted, contiguous copy that the launch makes
    with torch, once for every call. Small operands that many programs read gain; the copy costs a
    launch and the operand's bytes. Values stay as they are when the operand is read only and the
    index is inside its dimensions, which a masked access need not be.
    """

    name = "triton_pack_operand"
    weight = 1.5

    def edits(self, view: View) -> Iterator[Edit]:
        """Every other order of every operand whose addresses are understood."""
        for kernel in view.kernels:
            for name in sorted(pointer_parameters(kernel)):
                try:
                    operand = _operand(view, kernel, name)
                except Refused:
                    continue
                identity = tuple(range(len(operand.sizes)))
                for order in itertools.permutations(identity):
                    if order != identity and (operand.sizes[0] or order[0] == 0):
                        note = f"{name} of {kernel.name.value} in the order {order}"
                        good = order == _scalars_outermost(operand)
                        note = f"{note}, {SCALARS_OUTERMOST}" if good else note
                        build = partial(self._pack, view, kernel, operand, order)
                        yield Edit(note, build, 4.0 if good else 1.0)

    @staticmethod
    def _pack(
        view: View, kernel: cst.FunctionDef, operand: _Operand, order: Sequence[int]
    ) -> cst.Module:
        strides: dict[int, list[str]] = {}
        inner: list[str] = []
        for dimension in reversed(order):
            strides[dimension] = list(inner)
            inner.append(operand.sizes[dimension] or "")
        changes: dict[cst.CSTNode, Change] = {}
        for access in operand.accesses:
            terms = [operand.name, *access.others]
            for dimension, index in enumerate(access.indices):
                factors = " * ".join(reversed(strides[dimension]))
                if strides[dimension]:
                    factors = f" * ({factors})" if len(strides[dimension]) > 1 else f" * {factors}"
                terms.append(f"{index}{factors}")
            changes[access.address] = expr(" + ".join(terms))
        for call in view.launches(kernel):
            sizes = [argument(kernel, call, size or "") for size in operand.sizes[1:]]
            if None in sizes:
                raise Refused("a size the launch does not pass")
            value = _argument_node(kernel, call, operand.name)
            shape = ", ".join(["-1", *(size or "" for size in sizes)])
            places = ", ".join(map(str, order))
            text = f"({code(value)}).reshape({shape}).permute({places}).contiguous()"
            if dotted(value):
                text = text.replace(f"({code(value)})", code(value), 1)
            changes[value] = expr(text)
        return replaced(view.module, changes)


@dataclass(frozen=True)
class _Access:
    """One address: `base + indices[0] * stride + ...`, outermost dimension first."""

    address: cst.BaseExpression
    indices: tuple[str, ...]
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Operand:
    """A read-only pointer with all its addresses and its dimensions' sizes, outermost first.

    The first size is None when the kernel does not say it.
    """

    name: str
    accesses: tuple[_Access, ...]
    sizes: tuple[str | None, ...]


def _scalars_outermost(operand: _Operand) -> tuple[int, ...]:
    """The order with tiles in one piece: first the dimensions that no access has a vector for."""
    order = range(len(operand.sizes))
    return tuple(sorted(order, key=lambda d: any("[" in a.indices[d] for a in operand.accesses)))


def _operand(view: View, kernel: cst.FunctionDef, name: str) -> _Operand:
    if not view.launched_only(kernel):
        raise Refused("called by other kernels")
    loads = [c for c in calls(kernel, "tl.load") if c.args and name in pointers(kernel, c.args[0])]
    uses = sum(isinstance(n, cst.Name) and n.value == name for n in walk(kernel.body))
    attributes = sum(
        isinstance(n, cst.Attribute) and dotted(n.value) == name for n in walk(kernel.body)
    )
    if not loads or uses - attributes != len(loads):
        raise Refused("not only loaded from directly")
    for call in view.launches(kernel):
        if ".contiguous()" in code(_argument_node(kernel, call, name)):
            raise Refused("packed already")
    accesses, sizes = [], set()
    for load in loads:
        access, size = _access(kernel, load, name)
        accesses.append(access)
        sizes.add(size)
    inner = {size[1:] for size in sizes}
    outer = {size[0] for size in sizes}
    if len(inner) != 1:
        raise Refused("addresses of different shapes")
    first = outer.pop() if len(outer) == 1 else None
    return _Operand(name, tuple(accesses), (first, *inner.pop()))


def _argument_node(kernel: cst.FunctionDef, call: cst.Call, name: str) -> cst.BaseExpression:
    given = keyword(call, name)
    if given is not None:
        return given
    names = [p.name.value for p in kernel.params.params]
    plain = [a.value for a in call.args if a.keyword is None]
    if name not in names or names.index(name) >= len(plain):
        raise Refused("not passed")
    return plain[names.index(name)]


def _access(
    kernel: cst.FunctionDef, load: cst.Call, name: str
) -> tuple[_Access, tuple[str | None, ...]]:
    address = load.args[0].value
    terms = [t for t in _parts(address, cst.Add) if code(t) != name]
    sizes_known = {
        *constexprs(kernel),
        *(
            p.name.value
            for p in kernel.params.params
            if p.name.value not in pointer_parameters(kernel)
        ),
    } - {variable(loop) for loop in loops(kernel)}
    strides: list[tuple[tuple[str, ...], str]] = []
    for term in terms:
        factors = _parts(term, cst.Multiply)
        fixed = [f for f in factors if isinstance(f, cst.Name) and f.value in sizes_known]
        moving = [f for f in factors if f not in fixed]
        if len(moving) != 1 or not reads(moving[0]):
            raise Refused("an index that is not one factor")
        strides.append((tuple(sorted(f.value for f in fixed)), _wrapped(moving[0])))
    strides.sort(key=lambda pair: -len(pair[0]))
    if len(strides) < 2 or strides[-1][0]:
        raise Refused("no dimension of stride 1")
    sizes: list[str | None] = []
    for (outer, _), (inner, _) in itertools.pairwise(strides):
        more = Counter(outer)
        more.subtract(Counter(inner))
        factors_left = [n for n, count in more.items() for _ in range(count)]
        if any(count < 0 for count in more.values()) or len(factors_left) != 1:
            raise Refused("strides do not nest")
        sizes.append(factors_left[0])
    first = _bound_of(load, strides[0][1], sizes_known)
    return _Access(address, tuple(index for _, index in strides)), (first, *sizes)


def _bound_of(load: cst.Call, index: str, known: set[str]) -> str | None:
    """N of a mask condition `index < N`."""
    mask = keyword(load, "mask")
    for node in walk(mask) if mask is not None else ():
        if isinstance(node, cst.Comparison) and len(node.comparisons) == 1:
            target = node.comparisons[0]
            bound = dotted(target.comparator)
            if isinstance(target.operator, cst.LessThan) and code(node.left) == index:
                return bound if bound in known else None
    return None


def _parts(node: cst.BaseExpression, kind: type[cst.BaseBinaryOp]) -> list[cst.BaseExpression]:
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, kind):
        return [*_parts(node.left, kind), *_parts(node.right, kind)]
    return [node]


def _wrapped(node: cst.BaseExpression) -> str:
    text = code(node)
    simple = isinstance(node, cst.Name | cst.Subscript | cst.Call) or bool(node.lpar)
    return text if simple else f"({text})"
