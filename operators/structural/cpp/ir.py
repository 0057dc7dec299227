"""Statements of a C++ function as a small mutable tree, which the operators rewrite.

Expressions stay text; `expression` and `affine` analyse them. Whatever the tree has no form for
(while loops, returns, odd declarations) is kept word for word as `Raw`, and every operator leaves
it alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar


@dataclass(eq=False)
class Stmt:
    """Any statement. `pragmas` are the directive lines directly above it, `#pragma` included."""

    pragmas: list[str] = field(default_factory=list, kw_only=True)


@dataclass(eq=False)
class Raw(Stmt):
    """A statement kept as text: also comments and directives that stand alone."""

    text: str


@dataclass(eq=False)
class Decl(Stmt):
    """A declaration of one variable.

    Attributes:
        type: Everything before the declarator: "const float", "constexpr int", "alignas(64) float".
        pointer: "*", "* __restrict", "&" or "".
        name: The variable.
        dims: Array extents, outermost first, as expressions.
        init: The initialiser's text without "=", or None.
        tail: A comment on the same line, such as a tune mark.
    """

    type: str
    pointer: str
    name: str
    dims: list[str] = field(default_factory=list)
    init: str | None = None
    tail: str = ""

    @property
    def scalar_type(self) -> str:
        """The type without qualifiers: "float" for "const float"."""
        words = self.type.replace("alignas(64)", " ").split()
        return " ".join(w for w in words if w not in ("const", "constexpr", "static"))

    @property
    def is_scalar(self) -> bool:
        """Neither an array nor a pointer nor a reference."""
        return not self.dims and not self.pointer

    @property
    def is_const(self) -> bool:
        """Whether it is a scalar that never changes after its initialisation."""
        words = self.type.split()
        return self.is_scalar and ("const" in words or "constexpr" in words)


@dataclass(eq=False)
class Assign(Stmt):
    """`target op value;` with op one of =, +=, -=, *=, /=, and so on."""

    target: str
    op: str
    value: str


@dataclass(eq=False)
class Block(Stmt):
    """Statements in braces."""

    items: list[Stmt] = field(default_factory=list)


@dataclass(eq=False)
class If(Stmt):
    """`if (condition) then else otherwise`."""

    condition: str
    then: Block
    otherwise: Block | None = None


@dataclass(eq=False)
class For(Stmt):
    """A counting loop: `for (type var = low; var < high; var += step)`."""

    type: str
    var: str
    low: str
    high: str
    step: str
    body: Block


@dataclass(eq=False)
class Function:
    """A function definition.

    Attributes:
        name: Its name.
        header: Text from the return type to just before the body.
        params: Parameter name to its declaration's text.
        body: Its statements.
        start: Byte offset of the definition (the header's first byte).
        end: Byte offset behind the body.
    """

    name: str
    header: str
    params: dict[str, str]
    body: Block
    start: int
    end: int


S = TypeVar("S", bound=Stmt)


def children(statement: Stmt) -> list[Block]:
    """The blocks directly inside a statement."""
    if isinstance(statement, For):
        return [statement.body]
    if isinstance(statement, If):
        return [statement.then, *([statement.otherwise] if statement.otherwise else [])]
    return [statement] if isinstance(statement, Block) else []


def walk(statement: Stmt) -> Iterator[Stmt]:
    """The statement and everything inside it, in source order."""
    yield statement
    if isinstance(statement, Block):
        for item in statement.items:
            yield from walk(item)
    else:
        for block in children(statement):
            for item in block.items:
                yield from walk(item)


def loops(statement: Stmt) -> list[For]:
    """Every counting loop in the statement, itself included."""
    return [s for s in walk(statement) if isinstance(s, For)]


def expressions(statement: Stmt) -> Iterator[str]:
    """Texts of the expressions written directly in this statement, not in those inside it."""
    match statement:
        case Decl():
            yield from statement.dims
            if statement.init is not None:
                yield statement.init
        case Assign():
            yield statement.target
            yield statement.value
        case If():
            yield statement.condition
        case For():
            yield from (statement.low, statement.high, statement.step)
        case Raw():
            yield statement.text


def clone(statement: S) -> S:
    """A copy that shares nothing."""
    return copy.deepcopy(statement)


def locate(root: Block, target: Stmt) -> list[tuple[Block, int]] | None:
    """Path from `root` to `target`: (block, place in it) pairs, outermost first; None if absent."""
    for place, item in enumerate(root.items):
        if item is target:
            return [(root, place)]
        inner = [item] if isinstance(item, Block) else children(item)
        for block in inner:
            if (path := locate(block, target)) is not None:
                return [(root, place), *path]
    return None


def enclosing(root: Block, target: Stmt) -> list[Stmt]:
    """Statements around `target`, outermost first, without the target. Empty if absent."""
    path = locate(root, target) or []
    return [block.items[place] for block, place in path[:-1]]


def replace(root: Block, target: Stmt, new: list[Stmt]) -> None:
    """Put `new` in place of `target`. Raises ValueError when the target is not in the tree."""
    path = locate(root, target)
    if path is None:
        raise ValueError("the statement is not in the tree")
    block, place = path[-1]
    block.items[place : place + 1] = new
