"""TorchInductor's generated module taken apart: its kernels, and the statements that call them."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PRIMES = (5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61)
# Calls that say what is known already, or that set up what torch sets up by itself.
_DROPPED = frozenset(("assert_alignment", "get_raw_stream", "copy_if_misaligned"))
# Name of a function that some candidates define.
WITH_STRIDES = "with_strides"
_EMPTY = {
    "empty_strided_cpu": False,
    "empty_strided_cuda": True,
}
_LIBRARY = {name: f"torch.{name}" for name in ("mm", "addmm", "bmm", "baddbmm", "convolution")}
_LIBRARY |= {"_int_mm": "torch._int_mm", "bias_addmm": "torch.addmm"}


class UntranslatableError(Exception):
    """The generated code uses something that has no place in a candidate; says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One generated kernel.

    Attributes:
        name: Its name in the generated module.
        language: "cpp" or "triton".
        source: Its text.
    """

    name: str
    language: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A generated module.

    Attributes:
        kernels: The kernels, in order.
        arguments: Names of the tensors that `call` takes, in order.
        statements: The body of `call` without what prepares the device and the arguments. Calls of
            assert_size_stride are among them, as facts for `Rewriter.note`.
        results: The expressions that it returns.
    """

    kernels: tuple[Kernel, ...]
    arguments: tuple[str, ...]
    statements: tuple[ast.stmt, ...]
    results: tuple[ast.expr, ...]


def read(code: str) -> Generated:
    """Take a generated module apart. Raises UntranslatableError."""
    tree = ast.parse(code)
    call = next(
        (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "call"), None
    )
    if call is None:
        raise UntranslatableError("the generated module has no function call")
    arguments: tuple[str, ...] = ()
    statements: list[ast.stmt] = []
    results: tuple[ast.expr, ...] | None = None
    for statement in _flat(call.body):
        match statement:
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Name(id="args")):
                arguments = tuple(n.id for n in names if isinstance(n, ast.Name))
            case ast.Assign(value=ast.Call(func=ast.Attribute(attr="size"))) if _is_size(statement):
                continue
            case ast.Assign(targets=[ast.Name()], value=ast.Subscript(value=ast.Name(id=base))) if (
                base.endswith("_size")
            ):
                continue
            case ast.Return(value=ast.Tuple(elts=values)):
                results = tuple(values)
            case _ if _is_dropped(statement):
                continue
            case _:
                statements.append(statement)
    if results is None:
        raise UntranslatableError("the generated module does not return a tuple")
    return Generated(
        kernels=tuple(_kernels(tree)),
        arguments=arguments,
        statements=tuple(statements),
        results=results,
    )


def _kernels(tree: ast.Module) -> list[Kernel]:
    found = []
    for statement in tree.body:
        match statement:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(
                    func=ast.Attribute(value=ast.Name(id="async_compile"), attr=how), args=texts
                ),
            ):
                source = texts[-1] if how.startswith("cpp") else texts[min(1, len(texts) - 1)]
                if not isinstance(source, ast.Constant) or not isinstance(source.value, str):
                    raise UntranslatableError(f"kernel {name} has no text")
                language = "cpp" if how.startswith("cpp") else how
                if language not in ("cpp", "triton"):
                    raise UntranslatableError(f"a kernel in {how} is generated")
                found.append(Kernel(name=name, language=language, source=source.value))
    return found


def _flat(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements with those of `with` blocks, which choose the device, in line."""
    found = []
    for statement in body:
        if isinstance(statement, ast.With):
            found += _flat(statement.body)
        else:
            found.append(statement)
    return found


def _is_size(statement: ast.Assign) -> bool:
    target = statement.targets[0]
    return isinstance(target, ast.Name) and target.id.endswith("_size")


def _is_dropped(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Name(id=name))) if name in _DROPPED:
            return True
        case ast.Assign(value=ast.Call(func=ast.Name(id=name))) if name in _DROPPED:
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="clear" | "set_device"))):
            return True
        case ast.Delete(targets=targets):
            return all(isinstance(t, ast.Name) and t.id.startswith("arg") for t in targets)
        case ast.Expr(value=ast.Constant()) | ast.Pass():
            return True
    return False


class Rewriter(ast.NodeTransformer):
    """Turns statements of `call` into those of a candidate's forward.

    Statements are given to `note` in order, and then to `visit` where `note` leaves something.
    """

    def __init__(
        self,
        *,
        names: Mapping[str, str],
        shapes: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]],
        symbols: tuple[str, ...],
        device: str,
    ) -> None:
        """Prepare.

        Args:
            names: Name of an argument or constant in the code -> what the candidate calls it.
            shapes: Name of an argument in the code -> its extents and strides.
            symbols: The symbols that sizes are made of.
            device: Expression of the device that tensors are made on; "" for main memory.
        """
        self._names = dict(names)
        self._dropped: set[str] = set()
        self._device = device
        self._values = _numbers(symbols)
        self._shapes: dict[str, tuple[Any, Any] | None] = {
            name: (
                self._value(f"({', '.join(s)},)" if s else "()"),
                self._value(f"({', '.join(t)},)" if t else "()"),
            )
            for name, (s, t) in shapes.items()
        }

    def is_loose(self, node: ast.expr) -> bool:
        """Whether an argument of a kernel is a tensor that is not known to be contiguous."""
        if isinstance(node, ast.Name):
            is_tensor = node.id in self._shapes or node.id.startswith("buf")
        else:
            is_tensor = "reinterpret_tensor" in ast.unparse(node)
        return is_tensor and not self.is_contiguous(node)

    def is_contiguous(self, node: ast.expr) -> bool:
        """Whether a tensor in the generated code is known to be contiguous."""
        shape = self._shapes.get(node.id) if isinstance(node, ast.Name) else self._view_shape(node)
        return shape is not None and _is_contiguous(*shape)

    def note(self, statement: ast.stmt) -> bool:
        """Take in what a statement says about tensors; True if nothing is left to be done."""
        match statement:
            case ast.Expr(
                value=ast.Call(
                    func=ast.Name(id="assert_size_stride"),
                    args=[ast.Name(id=target), shape, stride, *_],
                )
            ):
                is_known = self._shapes.get(target) is not None
                self._shapes[target] = self._pair(shape, stride)
                # What a library gives may be laid out otherwise than TorchInductor expects.
                return is_known or not target.startswith("buf")
            case ast.Assign(targets=[ast.Name(id=target)], value=ast.Name(id=source)):
                self._shapes[target] = self._shapes.get(source)
                self._names[target] = self._names.get(source, source)
                return True
            case ast.Assign(targets=[ast.Name(id=target)], value=value):
                self._shapes[target] = self._view_shape(value)
            case ast.Delete(targets=[ast.Name(id=target)]):
                # A tensor is let go with the last of its names.
                own = self._names.pop(target, target)
                self._dropped.add(target)
                statement.targets = [ast.Name(own, ast.Del())]
                return own in self._names.values() or own not in self._dropped
        return False

    def _view_shape(self, node: ast.expr) -> tuple[Any, Any] | None:
        match node:
            case ast.Call(func=ast.Name(id=name), args=[shape, stride, *_]) if name in _EMPTY:
                return self._pair(shape, stride)
            case ast.Call(func=ast.Name(id="reinterpret_tensor"), args=[_, shape, stride, *_]):
                return self._pair(shape, stride)
        return None

    def _pair(self, shape: ast.expr, stride: ast.expr) -> tuple[Any, Any] | None:
        pair = (self._value(ast.unparse(shape)), self._value(ast.unparse(stride)))
        return None if None in pair else pair

    def _value(self, text: str) -> tuple[int, ...] | None:
        try:
            value: tuple[int, ...] = eval(text, {"math": math, **self._values})
        except NameError:
            # A size that only the values decide.
            return None
        return value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Rename arguments, and spell short names of torch's out."""
        if node.id == "aten":
            return _expression("torch.ops.aten")
        return _expression(self._names[node.id]) if node.id in self._names else node

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        """Make a tensor's layout what the generated code says it is."""
        match node.value:
            case ast.Call(
                func=ast.Name(id="assert_size_stride"),
                args=[ast.Name(id=target), shape, stride, *_],
            ):
                name = self._names.get(target, target)
                pair = self._pair(shape, stride)
                call = f"{WITH_STRIDES}({name}, {ast.unparse(stride)})"
                if pair is not None and _is_contiguous(*pair):
                    call = f"{name}.contiguous()"
                return ast.parse(f"{name} = {call}").body[0]
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Replace TorchInductor's own functions by torch's."""
        match node:
            case ast.Call(func=ast.Name(id=name), args=[shape, stride, dtype]) if name in _EMPTY:
                return self._empty(shape, stride, dtype, on_device=_EMPTY[name])
            case ast.Call(
                func=ast.Name(id="reinterpret_tensor"), args=[tensor, shape, stride, *rest]
            ):
                return self._view(tensor, shape, stride, rest[0] if rest else ast.Constant(0))
            case ast.Call(func=ast.Attribute(value=ast.Name(id="extern_kernels"), attr=name)):
                if name not in _LIBRARY:
                    raise UntranslatableError(f"the generated code calls extern_kernels.{name}")
                node.func = _expression(_LIBRARY[name])
        self.generic_visit(node)
        return node

    def _empty(
        self, shape: ast.expr, stride: ast.expr, dtype: ast.expr, *, on_device: bool
    ) -> ast.expr:
        pair = self._pair(shape, stride)
        plain = pair is not None and _is_contiguous(*pair)
        function = "torch.empty" if plain else "torch.empty_strided"
        arguments = [shape] if plain else [shape, stride]
        keywords = [ast.keyword("dtype", dtype)]
        if on_device and self._device:
            keywords.append(ast.keyword("device", _expression(self._device)))
        return ast.Call(_expression(function), arguments, keywords)

    def _view(
        self, tensor: ast.expr, shape: ast.expr, stride: ast.expr, offset: ast.expr
    ) -> ast.expr:
        old = self._shapes.get(tensor.id) if isinstance(tensor, ast.Name) else None
        new = self._pair(shape, stride)
        base = self.visit(tensor)
        at_start = isinstance(offset, ast.Constant) and offset.value == 0
        if at_start and old and new:
            if len(old[0]) == 2 and new == (old[0][::-1], old[1][::-1]):
                return ast.Call(ast.Attribute(base, "t", ast.Load()), [], [])
            dense = _is_contiguous(*old) and _is_contiguous(*new)
            if dense and math.prod(old[0]) == math.prod(new[0]):
                return ast.Call(ast.Attribute(base, "view", ast.Load()), [shape], [])
        arguments = [shape, stride]
        if not at_start:
            # An offset is counted from where the tensor itself begins.
            own = ast.Call(ast.Attribute(base, "storage_offset", ast.Load()), [], [])
            arguments.append(ast.BinOp(own, ast.Add(), offset))
        return ast.Call(ast.Attribute(base, "as_strided", ast.Load()), arguments, [])


def is_row_major(shape: Sequence[str], stride: Sequence[str], symbols: Sequence[str]) -> bool:
    """Whether extents and strides, expressions of symbols, are those of a contiguous tensor."""
    scope = {"math": math, **_numbers(symbols)}
    extents = tuple(eval(e, scope) for e in shape)
    return _is_contiguous(extents, tuple(eval(e, scope) for e in stride))


def _numbers(symbols: Sequence[str]) -> dict[str, int]:
    # Primes, so that two expressions of the symbols have one value only if they are one.
    return {symbol: _PRIMES[i % len(_PRIMES)] for i, symbol in enumerate(symbols)}


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _is_contiguous(shape: tuple[int, ...] | None, stride: tuple[int, ...] | None) -> bool:
    if shape is None or stride is None:
        return False
    expected = 1
    for extent, step in zip(reversed(shape), reversed(stride), strict=True):
        if extent != 1 and step != expected:
            return False
        expected *= extent
    return True
