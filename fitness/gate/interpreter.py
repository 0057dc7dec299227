"""Reads a module in the order in which it would run, without running it.

Names are followed through imports, assignments, attributes, tuples, calls and constant texts, so a
function is known under whatever name it is called. Then `ModelNew.forward` is followed once more
with tensors for its arguments: what is done to them is what the policies are about. Everything that
no call reaches is read as well.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

from fitness.gate import fold
from fitness.gate.findings import Level
from fitness.gate.report import Report
from fitness.gate.specials import SPECIALS
from fitness.gate.statements import StatementReader
from fitness.gate.values import TENSOR, Class, Func, Instance, Kernel, Partly, Ref, Value

_TEXTS = 16
_WORD = re.compile(r"[^\W\d]\w*")


class Interpreter(StatementReader):
    """Reads one module."""

    def __init__(self, report: Report, source: str) -> None:
        super().__init__(report)
        self.start()
        self._lines = source.splitlines()
        self._texts = 0

    def read(self, tree: ast.Module) -> None:
        """Read the module, then `forward`, then what was not reached."""
        self.statements(tree.body)
        self._forward()
        # Reading may define more functions.
        for function in self.functions:
            if not function.calls:
                self.run(function, self._unknown(function), {})

    def run_text(self, text: str, node: ast.AST) -> Value:
        """Read a text that the candidate runs; returns what it evaluates to."""
        self._texts += 1
        if self._texts > _TEXTS:
            return None
        try:
            tree = ast.parse(text.strip())
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            if isinstance(text, Partly):
                self.safety.may_run(None, node)
            return None
        outer = self.report.offset
        self.report.offset = outer + getattr(node, "lineno", 1) - 1
        try:
            if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr):
                return self.value(tree.body[0].value)
            self.statements(tree.body)
        finally:
            self.report.offset = outer
        return None

    def folded(self, node: ast.AugAssign, old: Value, value: Value) -> Value:
        """What `old op value` is."""
        if old is None and value is None:
            return None
        return fold.binary(node, old, value)

    def made_kernel(self, function: Func) -> Kernel:
        """A function that a decorator gave to a device: its body is read for names alone."""
        kernel = super().made_kernel(function)
        node = function.node
        if self.report.offset:
            kernel.uses = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        else:
            # Much faster; words of its comments do no harm: more is read than must be.
            text = "\n".join(self._lines[node.lineno - 1 : node.end_lineno])
            kernel.uses = set(_WORD.findall(text))
        for name in kernel.uses & self.scope.module.names.keys():
            value = self.scope.module.names[name]
            if isinstance(value, Ref) and value.paths[0].partition(".")[0] not in _DEVICE:
                # It names more than a device's language: it is read like any other.
                function.calls = 0
        return kernel

    def _forward(self) -> None:
        found, model = self.scope.find("ModelNew")
        line = 0
        if found and isinstance(model, Class):
            line = model.node.lineno
            made = self.made(model, [None] * 8, {})
            self._inherits(model)
            has, forward = model.find("forward")
            self.work.is_hot = True
            if has and isinstance(forward, Func):
                self.run(forward, [made, *self.inputs_of(forward)], {})
            self.work.is_hot = False
            self._reach_kernels()
        elif isinstance(model, Func):
            self.work.is_hot = True
            self.run(model, [TENSOR], {})
            self.work.is_hot = False
        self.work.close(line)

    def _reach_kernels(self) -> None:
        """Kernels that launched kernels call are launched too."""
        by_name = {k.name: k for k in self.kernels}
        waiting = [by_name[n] for n in self.work.launched_names if n in by_name]
        while waiting:
            for name in waiting.pop().uses & by_name.keys() - self.work.launched_names:
                self.work.launched_names.add(name)
                waiting.append(by_name[name])

    def _inherits(self, model: Class) -> None:
        """A model without a forward of its own is somebody else's."""
        if "forward" in model.names or "__call__" in model.names:
            return
        for base in model.bases:
            name = base.node.name if isinstance(base, Class) else ""
            if isinstance(base, Ref):
                name = base.paths[0]
            if name and name != "torch.nn.Module":
                text = f"ModelNew inherits its forward from {name}"
                self.report.add(Level.FLAG, "inherits", model.node, text)

    def _unknown(self, function: Func) -> list[Value]:
        """Arguments of a function that is called from nowhere: itself, perhaps."""
        if function.owner is None or function.is_static:
            return []
        return [Instance(function.owner)]


# What a device's own language consists of.
_DEVICE = frozenset(
    ("triton", "builtins", "math", "torch", "cutlass", "tilelang", "numba", "helion")
)


def _generic(reader: Interpreter, node: ast.AST) -> None:
    """A node that newer Pythons have: read for the expressions in it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr | ast.stmt):
            reader.readers[child.__class__](reader, child)


class _Readers(dict[type[ast.AST], Callable[[Any, Any], Value]]):
    def __missing__(self, key: type[ast.AST]) -> Callable[[Any, Any], Value]:
        self[key] = _generic
        return _generic


Interpreter.specials = SPECIALS
Interpreter.readers = _Readers(
    {
        cls: getattr(Interpreter, f"_on_{cls.__name__.lower()}")
        for cls in vars(ast).values()
        if isinstance(cls, type)
        and issubclass(cls, ast.AST)
        and hasattr(Interpreter, f"_on_{cls.__name__.lower()}")
    }
)
