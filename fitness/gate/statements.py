"""The statements of a reading, in the order in which the module would run them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from fitness.gate.calls import CallReader, Keywords
from fitness.gate.expressions import element_of
from fitness.gate.torch_tables import CACHES, KERNEL_DECORATORS
from fitness.gate.values import (
    SIZE,
    TENSOR,
    Class,
    Func,
    Instance,
    Kernel,
    Ref,
    Scope,
    Value,
    merged,
)
from fitness.gate.work import is_code

_PLAIN_TYPES = frozenset(("int", "float", "bool", "str", "tuple", "list", "dict", "None"))


class StatementReader(CallReader):
    """Reads statements."""

    # Where a name is bound at present.
    _line: ast.AST = ast.Pass()
    # Inside of a branch or a loop: a name's old value may still be there afterwards.
    _branches = 0

    def statements(self, body: Iterable[ast.stmt]) -> None:
        """Read statements one after the other."""
        for node in body:
            self.readers[node.__class__](self, node)

    def bind(self, name: str, value: Value) -> None:
        """Bind a name in the present scope."""
        scope = self.scope
        if name in scope.global_names:
            scope = scope.module
            if not is_code(value):
                self.work.kept(f"the global {name}", self._line)
        old = scope.names.get(name)
        if old is not None and (self._branches or isinstance(old, Ref)):
            value = merged(old, value)
        scope.names[name] = value

    def assign(self, target: ast.expr, value: Value) -> None:
        """Assign to a target."""
        if isinstance(target, ast.Name):
            self._line = target
            self.bind(target.id, value)
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target.elts, value)
        elif isinstance(target, ast.Attribute):
            base = self.value(target.value)
            self.safety.stored(base, target.attr, target, value)
            self.work.stored(target, base, self.scope, value)
            if isinstance(base, Instance):
                old = base.names.get(target.attr)
                base.names[target.attr] = value if old is None else merged(old, value)
            elif isinstance(base, Class):
                base.names[target.attr] = value
        elif isinstance(target, ast.Subscript):
            base = self.value(target.value)
            index = self.value(target.slice)
            self.safety.stored_item(base, index, target)
            self.work.stored(target, base, self.scope, value)
            if isinstance(base, dict) and isinstance(index, str | int):
                base[index] = merged(base.get(index), value)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, value if value is TENSOR else None)

    def _unpack(self, targets: Sequence[ast.expr], value: Value) -> None:
        known = isinstance(value, tuple) and len(value) == len(targets)
        for i, target in enumerate(targets):
            if known and not isinstance(target, ast.Starred):
                self.assign(target, value[i])
            else:
                self.assign(target, value if value is TENSOR or value is SIZE else None)

    def _on_expr(self, node: ast.Expr) -> None:
        # A text that stands alone is a comment.
        if not isinstance(node.value, ast.Constant):
            self.value(node.value)

    def _on_assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        for target in node.targets:
            self.assign(target, value)

    def _on_augassign(self, node: ast.AugAssign) -> None:
        value = self.value(node.value)
        old = self.value(node.target)
        if old is TENSOR or value is TENSOR:
            self.work.operator(node)
            value = TENSOR
        else:
            value = self.folded(node, old, value)
        self.assign(node.target, value)

    def folded(self, node: ast.AugAssign, old: Value, value: Value) -> Value:
        """What `old op value` is."""
        raise NotImplementedError

    def _on_annassign(self, node: ast.AnnAssign) -> None:
        value = self.value(node.value) if node.value is not None else None
        if node.value is not None:
            self.assign(node.target, value)

    def _on_delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if not isinstance(target, ast.Name):
                self.assign(target, None)

    def _on_return(self, node: ast.Return) -> None:
        if node.value is not None:
            self.returned.append(self.value(node.value))

    def _on_pass(self, node: ast.stmt) -> None:
        pass

    _on_break = _on_continue = _on_nonlocal = _on_pass

    def _on_global(self, node: ast.Global) -> None:
        self.scope.global_names.update(node.names)

    def _on_raise(self, node: ast.Raise) -> None:
        for part in (node.exc, node.cause):
            if part is not None:
                self.value(part)

    def _on_assert(self, node: ast.Assert) -> None:
        self.value(node.test)
        if node.msg is not None:
            self.value(node.msg)

    def _on_import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.safety.imported(alias.name, (), node)
            self.work.imported(alias.name, node)
            name = alias.name if alias.asname else alias.name.partition(".")[0]
            self.bind(alias.asname or name, Ref((name,)))

    def _on_importfrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        self.safety.imported(module, tuple([a.name for a in node.names]), node)
        self.work.imported(module, node)
        for alias in node.names:
            path = f"{module}.{alias.name}"
            self.bind(alias.asname or alias.name, Ref((path,)))

    def _on_if(self, node: ast.If) -> None:
        if _is_main_guard(node.test) and self.scope.parent is None and not self._is_renamed():
            outer, self.report.is_aside = self.report.is_aside, True
            self.statements(node.body)
            self.report.is_aside = outer
            self.statements(node.orelse)
            return
        test = self.value(node.test)
        known = isinstance(test, bool | int | str) or test == ()
        self._branch(node.body, never=known and not test)
        self._branch(node.orelse, never=known and bool(test))

    def _is_renamed(self) -> bool:
        return "__name__" in self.scope.names

    def _branch(self, body: list[ast.stmt], *, never: bool = False) -> None:
        if not body:
            return
        before = self.work.launches
        self._branches += 1
        self.statements(body)
        self._branches -= 1
        if never and self.work.launches > before:
            self.work.never_taken(body[0], before)

    def _on_for(self, node: ast.For | ast.AsyncFor) -> None:
        items = self.value(node.iter)
        self._branches += 1
        self.assign(node.target, element_of(items))
        self._branches -= 1
        self._branch(node.body)
        self._branch(node.orelse)

    _on_asyncfor = _on_for

    def _on_while(self, node: ast.While) -> None:
        test = self.value(node.test)
        self._branch(node.body, never=isinstance(test, bool | int) and not test)
        self._branch(node.orelse)

    def _on_with(self, node: ast.With | ast.AsyncWith) -> None:
        for entry in node.items:
            value = self.value(entry.context_expr)
            if entry.optional_vars is not None:
                self.assign(entry.optional_vars, value)
        self.statements(node.body)

    _on_asyncwith = _on_with

    def _on_try(self, node: ast.Try) -> None:
        self._branch(node.body)
        for handler in node.handlers:
            if handler.type is not None:
                self.value(handler.type)
            done = self.work.done
            self._branch(handler.body)
            if self.work.done > done:
                self.work.fell_back(handler)
        self._branch(node.orelse)
        self.statements(node.finalbody)

    _on_trystar = _on_try

    def _on_match(self, node: ast.Match) -> None:
        self.value(node.subject)
        for case in node.cases:
            for part in ast.walk(case.pattern):
                if isinstance(part, ast.MatchValue):
                    self.value(part.value)
                elif isinstance(part, ast.MatchAs | ast.MatchStar) and part.name:
                    self.bind(part.name, None)
            if case.guard is not None:
                self.value(case.guard)
            self._branch(case.body)

    def _on_classdef(self, node: ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            self.value(decorator)
        bases = tuple([self.value(b) for b in node.bases])
        for keyword in node.keywords:
            self.value(keyword.value)
        outer = self.scope, self.owner
        made = Class(node, {}, bases)
        self.owner = made
        self.scope = Scope(made.names, outer[0])
        self.statements(node.body)
        self.scope, self.owner = outer
        self.safety.defined_class(made)
        self.bind(node.name, made)

    def _on_functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._line = node
        made: Value = self.function(node, node.name)
        decorators = [self.value(d) for d in node.decorator_list]
        for decorator, place in zip(
            reversed(decorators), reversed(node.decorator_list), strict=True
        ):
            made = self._decorated(made, decorator, place)
        self.bind(node.name, made)

    _on_asyncfunctiondef = _on_functiondef

    def _decorated(self, made: Value, decorator: Value, place: ast.expr) -> Value:
        if isinstance(decorator, Ref):
            path = decorator.paths[0]
            if path in KERNEL_DECORATORS:
                return self.made_kernel(made) if isinstance(made, Func) else made
            if path == "builtins.staticmethod" and isinstance(made, Func):
                made.is_static = True
            if path in CACHES and isinstance(made, Func) and not self._makes_code(made):
                self.work.cached(made, path, place)
            self.safety.decorated(path, place)
            return made
        if isinstance(decorator, Func) and isinstance(made, Func | Kernel):
            found = self.run(decorator, [made], {})
            return found if isinstance(found, Func | Kernel) else made
        return made

    def _makes_code(self, function: Func) -> bool:
        """Whether what a function returns is compiled code, and nothing else."""
        arguments, parts = function.node.args, list(ast.walk(function.node))
        if sum(isinstance(p, ast.Return) for p in parts) != 1:
            return False
        if any(isinstance(p, ast.IfExp | ast.BoolOp) for p in parts):
            return False
        return is_code(self.run(function, [TENSOR] * len(arguments.args), {}))

    def function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, name: str
    ) -> Func:
        """A function made here."""
        arguments = node.args
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.value(default)
        scope = self.scope
        owner = self.owner
        if scope.parent is not None and not scope.is_function:
            # A class' body is no scope for its methods.
            scope = scope.parent
        made = Func(node, scope, owner, name)
        self.functions.append(made)
        return made

    def enter(self, function: Func, args: Sequence[Value], keywords: Keywords) -> None:
        """Bind a function's parameters in a new scope and read its body."""
        node = function.node
        names = {}
        parameters = [*node.args.posonlyargs, *node.args.args]
        for i, parameter in enumerate(parameters):
            given = args[i] if i < len(args) else keywords.get(parameter.arg)
            names[parameter.arg] = given
        for parameter in node.args.kwonlyargs:
            names[parameter.arg] = keywords.get(parameter.arg)
        if node.args.vararg:
            rest = tuple(args[len(parameters) :])
            names[node.args.vararg.arg] = TENSOR if TENSOR in rest else rest
        if node.args.kwarg:
            names[node.args.kwarg.arg] = None
        self.scope = Scope(names, function.scope, is_function=True)
        branches, self._branches = self._branches, 0
        if isinstance(node, ast.Lambda):
            self.returned.append(self.value(node.body))
        else:
            self.work.entered(function)
            self.statements(node.body)
        self._branches = branches

    def inputs_of(self, function: Func) -> list[Value]:
        """What the judge calls `forward` with: tensors, but for parameters that say otherwise."""
        node = function.node.args
        parameters = [*node.posonlyargs, *node.args][1:]
        plain = len(parameters) - len(node.defaults)
        values: list[Value] = []
        for i, parameter in enumerate(parameters):
            default = node.defaults[i - plain] if i >= plain else None
            values.append(None if _is_plain(parameter.annotation, default) else TENSOR)
        return [*values, TENSOR] if node.vararg else values


def _is_plain(annotation: ast.expr | None, default: ast.expr | None) -> bool:
    if isinstance(annotation, ast.Name) and annotation.id in _PLAIN_TYPES - {"tuple", "list"}:
        return True
    return isinstance(default, ast.Constant) and default.value is not None


def _is_main_guard(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
        and len(test.ops) == 1
        and isinstance(test.ops[0], ast.Eq)
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value == "__main__"
    )
