"""What is known of a value without running anything.

A value of the reading is one of these, or `None`: nothing is known. Constants stand for themselves.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# One of the classes below, a constant, a tuple, a dict with constant keys, or None.
Value = Any


@dataclass(slots=True)
class Ref:
    """Something reached from an import or a builtin, by its dotted paths.

    A call's result is a path too: `torch.cuda.Event()`. More than one path: it depends.
    """

    paths: tuple[str, ...]

    def attribute(self, name: str) -> Ref:
        """What an attribute of it is."""
        return Ref(tuple([f"{path}.{name}" for path in self.paths]))


class Tensor:
    """A tensor of the candidate's."""


class Size:
    """A shape, or a number that is never negative: a length, a count of elements."""


TENSOR = Tensor()
SIZE = Size()


class Partly(str):
    """A string known in part: what is not known is `HOLE`."""

    __slots__ = ()


HOLE = "_hole_"


@dataclass(slots=True, eq=False)
class Scope:
    """Names and their values; a name that is bound to nothing known is bound to None."""

    names: dict[str, Value]
    parent: Scope | None = None
    is_function: bool = False
    global_names: set[str] = field(default_factory=set)

    def find(self, name: str) -> tuple[bool, Value]:
        """Whether a name is bound here or outside, and to what."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return True, scope.names[name]
            scope = scope.parent
        return False, None

    @property
    def module(self) -> Scope:
        """The outermost one."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope


@dataclass(slots=True, eq=False)
class Func:
    """A function of the candidate's."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    owner: Class | None = None
    name: str = ""
    calls: int = 0
    is_static: bool = False


@dataclass(slots=True, eq=False)
class Kernel:
    """A function that a device runs: its body is not Python's to run."""

    func: Func | None
    name: str
    uses: set[str] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Class:
    """A class of the candidate's."""

    node: ast.ClassDef
    names: dict[str, Value]
    bases: tuple[Value, ...]

    def find(self, name: str) -> tuple[bool, Value]:
        """An attribute of the class or of its bases."""
        if name in self.names:
            return True, self.names[name]
        for base in self.bases:
            if isinstance(base, Class):
                found, value = base.find(name)
                if found:
                    return True, value
        return False, None


@dataclass(slots=True, eq=False)
class Instance:
    """An object of a class of the candidate's; a passing one lives no longer than a call."""

    cls: Class
    names: dict[str, Value] = field(default_factory=dict)
    is_passing: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    """A function bound to its object."""

    func: Func
    receiver: Value


class Arguments(NamedTuple):
    """What a call gives, and where it stands."""

    args: Sequence[Value]
    keywords: Mapping[str, Value]
    node: ast.AST

    def of(self, args: Sequence[Value]) -> Arguments:
        """Other arguments at the same place."""
        return Arguments(args, {}, self.node)


@dataclass(frozen=True, slots=True)
class Partial:
    """A function with its first arguments."""

    func: Value
    args: tuple[Value, ...]
    keywords: dict[str, Value] = field(default_factory=dict)


def merged(old: Value, new: Value) -> Value:
    """The value of a name that has been bound twice, in an order that is not known."""
    if isinstance(old, Ref):
        if isinstance(new, Ref):
            paths = tuple(dict.fromkeys(old.paths + new.paths))
            return Ref(paths[-4:])
        return old if new is None or not isinstance(new, Kernel | Func | Class) else new
    return old if isinstance(old, Tensor) else new


def is_known(value: Value) -> bool:
    """Whether it is a constant that is wholly known."""
    return isinstance(value, str | bytes | int | float) and not isinstance(value, Partly)
