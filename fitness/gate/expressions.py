"""The expressions of a reading: what each evaluates to, as far as that can be known."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from fitness.gate import fold
from fitness.gate.report import Report
from fitness.gate.safety import Safety
from fitness.gate.tables import (
    PLAIN_ATTRIBUTES,
    SIZE_ATTRIBUTES,
    TENSOR_ATTRIBUTES,
    WATCHED_BUILTINS,
)
from fitness.gate.values import (
    HOLE,
    SIZE,
    TENSOR,
    Class,
    Func,
    Instance,
    Kernel,
    Method,
    Partial,
    Partly,
    Ref,
    Scope,
    Size,
    Tensor,
    Value,
    merged,
)
from fitness.gate.work import Work

_LOOPED = 512
# No tensor has as many elements.
_LARGEST = 1 << 38


class ExpressionReader:
    """Evaluates expressions; calls and statements are its subclasses' part."""

    # Node's class -> method.
    readers: ClassVar[dict[type[ast.AST], Callable[[Any, Any], Value]]] = {}

    def __init__(self, report: Report) -> None:
        self.report = report
        self.safety = Safety(report)
        self.work = Work(report)
        self.scope = Scope({})

    def value(self, node: ast.expr) -> Value:
        """Evaluate an expression."""
        return self.readers[node.__class__](self, node)

    def _on_constant(self, node: ast.Constant) -> Value:
        value = node.value
        if value.__class__ is str and len(value) > 3:
            self.safety.text(value, node)
        return value

    def _on_name(self, node: ast.Name) -> Value:
        name = node.id
        scope: Scope | None = self.scope
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        if name in WATCHED_BUILTINS:
            return Ref((f"builtins.{name}",))
        if name == "__builtins__":
            self.safety.builtins(node)
            return Ref(("builtins",))
        return None

    def _on_attribute(self, node: ast.Attribute) -> Value:
        base = self.value(node.value)
        name = node.attr
        if name[:1] in "_fctag":
            self.safety.attribute(name, base, node)
        return self.attribute(base, name)

    def attribute(self, base: Value, name: str) -> Value:
        """An attribute of a value."""
        reader = _ATTRIBUTES.get(base.__class__)
        return reader(base, name) if reader is not None else None

    def _on_subscript(self, node: ast.Subscript) -> Value:
        base = self.value(node.value)
        index = self.value(node.slice)
        self.work.keyed(index, node)
        return self.item(base, index, node.slice)

    def item(self, base: Value, index: Value, node: ast.expr) -> Value:
        """An element of a value."""
        if base is None or isinstance(base, Tensor | Size | Kernel):
            return base
        if isinstance(base, Ref):
            return self.safety.item(base, index, node, self.scope)
        if isinstance(base, tuple | dict) and index is None and not isinstance(node, ast.Slice):
            return _any_of(base.values() if isinstance(base, dict) else base)
        return fold.item(base, index, node)

    def _on_slice(self, node: ast.Slice) -> Value:
        for part in (node.lower, node.upper, node.step):
            if part is not None:
                self.value(part)
        return None

    def _on_binop(self, node: ast.BinOp) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        if left is TENSOR or right is TENSOR:
            self.work.operator(node)
            return TENSOR
        if left is None and right is None:
            return None
        return fold.binary(node, left, right)

    def _on_unaryop(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        if value is TENSOR:
            if not isinstance(node.op, ast.Not):
                self.work.operator(node)
                return TENSOR
            return None
        if isinstance(node.op, ast.Not):
            return None if value is None or isinstance(value, Ref) else not value
        if isinstance(node.op, ast.USub) and isinstance(value, int | float):
            return -value
        return None

    def _on_boolop(self, node: ast.BoolOp) -> Value:
        found: Value = None
        values = [self.value(v) for v in node.values]
        ends = isinstance(node.op, ast.Or)
        for value in values:
            if isinstance(value, bool | int) and bool(value) is ends:
                return value
            found = merged(found, value)
        return found

    def _on_compare(self, node: ast.Compare) -> Value:
        values = [self.value(node.left), *[self.value(c) for c in node.comparators]]
        self.work.compared(node, values)
        if any(value is TENSOR for value in values):
            return None if isinstance(node.ops[0], _IDENTITY) else TENSOR
        if len(values) != 2:
            return None
        return _compared(values[0], node.ops[0], values[1])

    def _on_ifexp(self, node: ast.IfExp) -> Value:
        test = self.value(node.test)
        first, second = self.value(node.body), self.value(node.orelse)
        if isinstance(test, bool | int):
            return first if test else second
        return merged(second, first) if first is not None else second

    def _on_tuple(self, node: ast.Tuple | ast.List) -> Value:
        found = [self.value(element) for element in node.elts]
        return tuple(found)

    _on_list = _on_tuple

    def _on_set(self, node: ast.Set) -> Value:
        return tuple([self.value(element) for element in node.elts])

    def _on_dict(self, node: ast.Dict) -> Value:
        found: dict[Value, Value] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            name = self.value(key) if key is not None else None
            element = self.value(value)
            if isinstance(name, str | int):
                found[name] = element
            elif key is None and isinstance(element, dict):
                found |= element
        return found

    def _on_joinedstr(self, node: ast.JoinedStr) -> Value:
        pieces = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                pieces.append(self.value(part.value))
            elif isinstance(part, ast.Constant):
                pieces.append(part.value)
        found = fold.text(pieces) if pieces else ""
        if not isinstance(found, str):
            return Partly(HOLE)
        if found[:1] == "/":
            self.safety.text(found, node)
        return found

    def _on_formattedvalue(self, node: ast.FormattedValue) -> Value:
        return self.value(node.value)

    def _on_starred(self, node: ast.Starred) -> Value:
        return self.value(node.value)

    def _on_namedexpr(self, node: ast.NamedExpr) -> Value:
        value = self.value(node.value)
        self.bind(node.target.id, value)
        return value

    def _on_lambda(self, node: ast.Lambda) -> Value:
        return self.function(node, "lambda")

    def _on_await(self, node: ast.Await | ast.YieldFrom) -> Value:
        return self.value(node.value)

    _on_yieldfrom = _on_await

    def _on_yield(self, node: ast.Yield) -> Value:
        return self.value(node.value) if node.value else None

    def _on_listcomp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> Value:
        outer, self.scope = self.scope, Scope({}, self.scope, is_function=True)
        try:
            first = self._loops(node.generators)
            if len(node.generators) > 1 or first is None:
                element = self.value(node.elt)
                return (element,) if isinstance(element, Ref | Tensor) else None
            found = []
            for item in first:
                self.assign(node.generators[0].target, item)
                found.append(self.value(node.elt))
            return tuple(found)
        finally:
            self.scope = outer

    _on_setcomp = _on_listcomp
    _on_generatorexp = _on_listcomp

    def _on_dictcomp(self, node: ast.DictComp) -> Value:
        outer, self.scope = self.scope, Scope({}, self.scope, is_function=True)
        try:
            self._loops(node.generators)
            self.value(node.key)
            self.value(node.value)
        finally:
            self.scope = outer
        return None

    def _loops(self, generators: list[ast.comprehension]) -> tuple[Value, ...] | None:
        """Bind the targets; returns the elements of the one loop whose elements are known."""
        known: tuple[Value, ...] | None = None
        for loop in generators:
            items = self.value(loop.iter)
            if isinstance(items, str | bytes):
                items = tuple(items)
            if isinstance(items, tuple) and 0 < len(items) <= _LOOPED:
                known = items
            self.assign(loop.target, element_of(items))
            for test in loop.ifs:
                self.value(test)
        return known

    def bind(self, name: str, value: Value) -> None:
        """Bind a name in the present scope."""
        raise NotImplementedError

    def assign(self, target: ast.expr, value: Value) -> None:
        """Assign to a target."""
        raise NotImplementedError

    def function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, name: str
    ) -> Func:
        """A function made here."""
        raise NotImplementedError

    def _on_call(self, node: ast.Call) -> Value:
        raise NotImplementedError


_IDENTITY = (ast.Is, ast.IsNot, ast.In, ast.NotIn)


def element_of(items: Value) -> Value:
    """What a loop over a value binds its target to."""
    if items is TENSOR or items is SIZE:
        return items
    if isinstance(items, tuple) and items:
        if len(items) == 1:
            return items[0]
        found: Value = None
        for item in items:
            found = merged(found, item)
        if isinstance(found, tuple) and all(
            isinstance(i, tuple) and len(i) == len(found) for i in items
        ):
            return tuple([element_of(tuple(column)) for column in zip(*items, strict=True)])
        return found if isinstance(found, Ref | Tensor | Kernel | Func) else None
    return None


def _any_of(items: Iterable[Value]) -> Value:
    """One of several values, which is not known."""
    found: Value = None
    for item in items:
        found = merged(found, item)
    return found if isinstance(found, Ref | Tensor | Kernel | Func) else None


def _of_ref(base: Ref, name: str) -> Value:
    path = base.paths[0]
    if name == "__class__" and path.endswith("()"):
        return Ref((path[:-2],))
    if path.startswith("torch.nn.") and path.endswith("()") and name in ("weight", "bias"):
        return TENSOR
    return base.attribute(name)


def _of_tensor(_: Tensor, name: str) -> Value:
    if name in SIZE_ATTRIBUTES:
        return SIZE
    if name in TENSOR_ATTRIBUTES:
        return TENSOR
    if name in PLAIN_ATTRIBUTES:
        return None
    return Ref(("torch.Tensor" if name == "__class__" else f"torch.Tensor().{name}",))


def _of_instance(base: Instance, name: str) -> Value:
    if name in base.names:
        return base.names[name]
    if name == "__class__":
        return base.cls
    value = base.cls.find(name)[1]
    return Method(value, base) if isinstance(value, Func) and not value.is_static else value


def _of_class(base: Class, name: str) -> Value:
    found, value = base.find(name)
    if name == "apply" and not found:
        # Of torch.autograd.Function: forward with a context in front.
        return Partial(base.find("forward")[1], (None,))
    return value


def _of_kernel(base: Kernel, _: str) -> Value:
    return base


_ATTRIBUTES: dict[type, Callable[[Any, str], Value]] = {
    Ref: _of_ref,
    Tensor: _of_tensor,
    Instance: _of_instance,
    Class: _of_class,
    Kernel: _of_kernel,
}


def _compared(left: Value, op: ast.cmpop, right: Value) -> Value:
    """The truth of a comparison where it can be known, None else."""
    if isinstance(left, Size) or isinstance(right, Size):
        return _compared_size(left, op, right)
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    texts = isinstance(left, str) and isinstance(right, str) and not isinstance(left, Partly)
    function = _COMPARISONS.get(op.__class__)
    return function(left, right) if function and (numbers or texts) else None


def _compared_size(left: Value, op: ast.cmpop, right: Value) -> Value:
    """A size is neither negative nor beyond any memory: False where that decides it."""
    if isinstance(left, Size) and isinstance(right, int):
        below = isinstance(op, ast.Lt) and right <= 0
        beyond = isinstance(op, ast.Gt | ast.GtE | ast.Eq) and right >= _LARGEST
        none = isinstance(op, ast.LtE | ast.Eq) and right < 0
        return False if below or beyond or none else None
    if isinstance(left, int) and isinstance(op, ast.Gt) and left <= 0:
        return False
    return None


_COMPARISONS: dict[type[ast.cmpop], Callable[[Value, Value], bool]] = {
    ast.Eq: lambda a, b: bool(a == b),
    ast.NotEq: lambda a, b: bool(a != b),
    ast.Lt: lambda a, b: bool(a < b),
    ast.LtE: lambda a, b: bool(a <= b),
    ast.Gt: lambda a, b: bool(a > b),
    ast.GtE: lambda a, b: bool(a >= b),
}
