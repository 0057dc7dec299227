"""The calls of a reading: the candidate's own are followed, others are named to the rules."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from fitness.gate import fold
from fitness.gate.expressions import ExpressionReader
from fitness.gate.torch_tables import (
    ARRAY_PACKAGES,
    COMPILERS,
    KERNEL_DECORATORS,
    KERNEL_TEXTS,
    kind,
)
from fitness.gate.values import (
    SIZE,
    TENSOR,
    Arguments,
    Class,
    Func,
    Instance,
    Kernel,
    Method,
    Partial,
    Partly,
    Ref,
    Size,
    Tensor,
    Value,
)

Keywords = Mapping[str, Value]
# Calls inside of calls that are followed, runs of one function, and runs in all.
_DEPTH = 20
_RUNS_EACH = 48
_RUNS = 300
_PATH_LIMIT = 160
_REGISTERS = frozenset(("register_buffer", "register_parameter", "add_module", "register_module"))
_LOOKUPS = frozenset(("get", "setdefault", "pop"))
_COMPILED = COMPILERS | {f"{path}()" for path in COMPILERS}


class CallReader(ExpressionReader):
    """Follows calls."""

    # Path -> what a call of it comes to, for what is not the candidate's and not torch's.
    specials: ClassVar[Mapping[str, Callable[[Any, Arguments], Value]]] = {}

    def start(self) -> None:
        """Set up what following calls needs."""
        self.functions: list[Func] = []
        self.kernels: list[Kernel] = []
        self.owner: Class | None = None
        self.returned: list[Value] = []
        self._results: dict[tuple[object, ...], tuple[Value, int, int]] = {}
        self._depth = 0
        self._runs = 0

    def _on_call(self, node: ast.Call) -> Value:
        target = node.func
        if not isinstance(target, ast.Attribute):
            function = self.value(target)
            return self.call(function, self._arguments(function, node))
        base = self.value(target.value)
        self.safety.attribute(target.attr, base, target)
        function = self.attribute(base, target.attr)
        given = self._arguments(function, node)
        if isinstance(base, str | bytes):
            return fold.method(base, target.attr, given.args, given.keywords)
        if isinstance(base, Instance) and target.attr in _REGISTERS and len(given.args) > 1:
            base.names[str(given.args[0])] = given.args[1] if given.args[1] is not None else TENSOR
            return None
        self.work.mutated(target, base, self.scope)
        if given.args and target.attr in _LOOKUPS:
            self.work.keyed(given.args[0], node)
        return self.call(function, given)

    def _arguments(self, function: Value, node: ast.Call) -> Arguments:
        args = [self.value(a) for a in node.args]
        keywords = {k.arg or "**": self.value(k.value) for k in node.keywords}
        self.safety.handed_on(function, args, node)
        return Arguments(args, keywords, node)

    def call(self, function: Value, given: Arguments) -> Value:
        """Call a value."""
        caller = _CALLERS.get(function.__class__)
        return caller(self, function, given) if caller is not None else None

    def call_ref(self, function: Ref, given: Arguments) -> Value:
        """Call something that is not the candidate's."""
        found: Value = None
        for path in function.paths:
            result = self.call_path(path, given)
            found = result if found is None else found
        return found

    def call_func(self, function: Func, given: Arguments) -> Value:
        """Call a function of the candidate's."""
        return self.run(function, given.args, given.keywords)

    def call_method(self, function: Method, given: Arguments) -> Value:
        """Call a method of the candidate's."""
        return self.run(function.func, [function.receiver, *given.args], given.keywords)

    def call_kernel(self, function: Kernel, _: Arguments) -> Value:
        """Launch a kernel of the candidate's."""
        self.work.launched(function.name)

    def call_partial(self, function: Partial, given: Arguments) -> Value:
        """Call a function with its first arguments."""
        args = [*function.args, *given.args]
        keywords = {**function.keywords, **given.keywords}
        return self.call(function.func, Arguments(args, keywords, given.node))

    def call_class(self, function: Class, given: Arguments) -> Value:
        """Make an object of a class of the candidate's."""
        return self.made(function, given.args, given.keywords)

    def call_instance(self, function: Instance, given: Arguments) -> Value:
        """Call an object of the candidate's."""
        name = "forward" if function.cls.find("forward")[0] else "__call__"
        bound = self.attribute(function, name)
        return self.call(bound, given) if bound is not function else None

    def call_sequence(self, function: tuple[Value, ...], given: Arguments) -> Value:
        """Call modules one after the other."""
        result = given.args[0] if given.args else None
        for module in function:
            result = self.call(module, Arguments([result], {}, given.node))
        return result

    def run(self, function: Func, args: Sequence[Value], keywords: Keywords) -> Value:
        """Run a function of the candidate's on what is known of its arguments."""
        function.calls += 1
        key = (id(function.node), self.work.is_hot, *[_key(a) for a in args], *sorted(keywords))
        if (known := self._results.get(key)) is not None:
            found, launches, done = known
            self.work.launches += launches
            self.work.done += done
            return found
        self._runs += 1
        if self._depth >= _DEPTH or self._runs > _RUNS or function.calls > _RUNS_EACH:
            return None
        self._results[key] = (None, 0, 0)
        before = self.work.launches, self.work.done
        outer = self.scope, self.owner, self.returned
        self._depth += 1
        self.owner, self.returned = function.owner, []
        try:
            self.enter(function, args, keywords)
            found = self._returned(function)
        finally:
            self.scope, self.owner, self.returned = outer
            self._depth -= 1
        launches, done = self.work.launches - before[0], self.work.done - before[1]
        self._results[key] = found, launches, done
        return found

    def enter(self, function: Func, args: Sequence[Value], keywords: Keywords) -> None:
        """Bind a function's parameters in a new scope and read its body."""
        raise NotImplementedError

    def run_text(self, text: str, node: ast.AST) -> Value:
        """Read a text that the candidate runs; returns what it evaluates to."""
        raise NotImplementedError

    def _returned(self, function: Func) -> Value:
        if isinstance(function.node, ast.Lambda):
            return self.returned[0] if self.returned else None
        for value in self.returned:
            if value is TENSOR:
                return TENSOR
        return next((v for v in self.returned if v is not None), None)

    def made(self, cls: Class, args: Sequence[Value], keywords: Keywords) -> Instance:
        """An object of a class of the candidate's, constructed."""
        made = Instance(cls, is_passing=self.work.is_hot)
        found, init = cls.find("__init__")
        if found and isinstance(init, Func):
            self.run(init, [made, *args], keywords)
        return made

    def call_path(self, path: str, given: Arguments) -> Value:
        """Call what stands at a path."""
        self.safety.called(path, given.args, given.node)
        if path.startswith("torch."):
            return self._call_torch(path, given)
        special = self.specials.get(path)
        if special is not None:
            return special(self, given)
        folded = fold.called(path, given.args)
        if folded is not None:
            return folded
        if path.startswith("builtins.super()."):
            return self._super(path[17:], given)
        return self._call_other(path, given)

    def _call_other(self, path: str, given: Arguments) -> Value:
        if path in KERNEL_DECORATORS:
            return self._kernel(path, given.args)
        if path == "functools.lru_cache" and _sizes_alone(given.node):
            # What it decorates says whether anything is kept.
            return _result(path)
        if path.partition("()")[0] in KERNEL_TEXTS:
            return self._own(path, given)
        if path.partition(".")[0] in ARRAY_PACKAGES:
            if not any(a is TENSOR for a in given.args):
                return None
            self.work.computed(path, given.node)
            return TENSOR
        self.work.called(path, given.node)
        return _result(path)

    def _call_torch(self, path: str, given: Arguments) -> Value:
        if path in _COMPILED:
            self.work.called(path, given.node)
            return Partial(given.args[0], ()) if given.args else _result(path)
        does = kind(path)
        if does in ("compute", "library"):
            self.work.did(does, path, given.node)
            return TENSOR
        if does == "layout":
            return TENSOR
        if path.partition("()")[0] in KERNEL_TEXTS:
            return self._own(path, given)
        self.work.called(path, given.node)
        if does:
            return SIZE if does == "size" else _answer(path)
        return _made_by_torch(path, given.args)

    def _own(self, path: str, given: Arguments) -> Value:
        """A text made into kernels, or a call of one of them."""
        if path in KERNEL_TEXTS:
            self.safety.sources([*given.args, *given.keywords.values()], given.node)
            self.work.defined(given.node)
        else:
            self.work.launched("")
        return _result(path)

    def _kernel(self, path: str, args: Sequence[Value]) -> Value:
        if not args or not isinstance(args[0], Func | Kernel):
            return _result(path)
        return args[0] if isinstance(args[0], Kernel) else self.made_kernel(args[0])

    def made_kernel(self, function: Func) -> Kernel:
        """A function that a decorator gave to a device."""
        kernel = Kernel(function, function.name)
        function.calls += 1
        self.kernels.append(kernel)
        self.work.kernel(kernel)
        return kernel

    def _super(self, name: str, given: Arguments) -> Value:
        for base in self.owner.bases if self.owner else ():
            if isinstance(base, Class):
                found, function = base.find(name)
                if found and isinstance(function, Func):
                    return self.run(function, [Instance(base), *given.args], given.keywords)
            elif isinstance(base, Ref) and name in ("forward", "__call__"):
                return self.call_path(f"{base.paths[0]}().forward", given)
        return None

    def get_attribute(self, args: Sequence[Value], node: ast.AST) -> Value:
        """`getattr(...)`."""
        if len(args) < 2:
            return None
        base, name = args[0], args[1]
        if not isinstance(name, str) or isinstance(name, Partly):
            self.safety.unknown_attribute(base, node)
            return None
        for part in name.split("."):
            self.safety.attribute(part, base, node)
            base = self.attribute(base, part)
        return base


_CALLERS: dict[type, Callable[[CallReader, Any, Arguments], Value]] = {
    Ref: CallReader.call_ref,
    Func: CallReader.call_func,
    Method: CallReader.call_method,
    Kernel: CallReader.call_kernel,
    Partial: CallReader.call_partial,
    Class: CallReader.call_class,
    Instance: CallReader.call_instance,
    tuple: CallReader.call_sequence,
}


def _key(value: Value) -> object:
    """What tells one call's argument from another's."""
    if isinstance(value, Ref):
        return value.paths
    if isinstance(value, str | int | float | bytes):
        return value
    if value is None or isinstance(value, Tensor | Size):
        return value.__class__
    return id(value)


def _sizes_alone(node: ast.AST) -> bool:
    """Whether a call's arguments are written out: `lru_cache(maxsize=None)`."""
    return isinstance(node, ast.Call) and all(isinstance(a, ast.Constant) for a in node.args)


def _result(path: str) -> Value:
    return Ref((f"{path}()",)) if len(path) < _PATH_LIMIT else None


def _made_by_torch(path: str, args: Sequence[Value]) -> Value:
    """What a function of torch gives that is no tensor."""
    if path in ("torch.nn.Sequential", "torch.nn.ModuleList"):
        flat = args[0] if len(args) == 1 and isinstance(args[0], tuple) else args
        return tuple([a for a in flat if a is not None])
    return _result(path)


def _answer(path: str) -> Value:
    """What a question about a tensor gives, if a rule asks for it."""
    return _result(path) if path.endswith(("data_ptr", "storage")) else None
