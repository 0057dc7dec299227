"""A candidate module as a syntax tree: its kernels, their launches, and small building blocks.

Trees are never changed in place: an edit builds a new tree with `replaced`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeVar

import libcst as cst

Statement = cst.BaseStatement
Block = TypeVar("Block", cst.FunctionDef, cst.For)


class Refused(Exception):
    """The edit does not apply here after all."""


@dataclass(frozen=True, eq=False)
class View:
    """One candidate's module, parsed."""

    module: cst.Module

    @cached_property
    def kernels(self) -> tuple[cst.FunctionDef, ...]:
        """The jitted functions at module level, in file order."""
        return tuple(
            node
            for node in self.module.body
            if isinstance(node, cst.FunctionDef)
            and isinstance(node.body, cst.IndentedBlock)
            and any(dotted(_callee(d.decorator)) == "triton.jit" for d in node.decorators)
        )

    @cached_property
    def names(self) -> frozenset[str]:
        """Every identifier of the module, attributes included: what a new name must avoid."""
        return frozenset(node.value for node in walk(self.module) if isinstance(node, cst.Name))

    def launches(self, kernel: cst.FunctionDef) -> list[cst.Call]:
        """Calls `kernel[grid](...)`, in file order."""
        return [
            node
            for node in walk(self.module)
            if isinstance(node, cst.Call)
            and isinstance(node.func, cst.Subscript)
            and dotted(node.func.value) == kernel.name.value
        ]

    def launched_only(self, kernel: cst.FunctionDef) -> bool:
        """Whether the kernel's name is used for launches alone, at least one.

        Only then may its parameters change.
        """
        name = kernel.name.value
        uses = sum(isinstance(n, cst.Name) and n.value == name for n in walk(self.module))
        return 0 < len(self.launches(kernel)) == uses - 1

    def fresh(self, base: str) -> str:
        """A name like `base` that the module does not use."""
        name, number = base, 1
        while name in self.names:
            number += 1
            name = f"{base}_{number}"
        return name


def walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """The node and everything below it, in source order."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(children(current)))


# Fields that hold blanks and punctuation: most of a tree, and nothing that is looked for here.
_LAYOUT = re.compile(
    "whitespace|lines|lpar|rpar|lbracket|rbracket|lbrace|rbrace|comma|semicolon|header|footer"
    "|indent|equal|dot|newline|encoding"
)


@lru_cache(maxsize=256)
def _fields(kind: type[cst.CSTNode]) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind) if not _LAYOUT.search(f.name))


def children(node: cst.CSTNode) -> list[cst.CSTNode]:
    """The parts of a node, blanks and punctuation left out.

    LibCST's own `children` makes a visitor for every node, which is ten times slower.
    """
    found: list[cst.CSTNode] = []
    for name in _fields(type(node)):
        value = getattr(node, name)
        if isinstance(value, cst.CSTNode):
            found.append(value)
        elif isinstance(value, list | tuple):
            found.extend(v for v in value if isinstance(v, cst.CSTNode))
    return found


def dotted(node: cst.CSTNode) -> str:
    """`tl.load` for that attribute, `x` for that name, "" for anything else."""
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr.value}" if before else ""
    return ""


def _callee(node: cst.CSTNode) -> cst.CSTNode:
    return node.func if isinstance(node, cst.Call) else node


def called(node: cst.CSTNode) -> str:
    """The dotted name that a call calls; "" for anything else."""
    return dotted(node.func) if isinstance(node, cst.Call) else ""


def calls(node: cst.CSTNode, *functions: str) -> list[cst.Call]:
    """Calls of these functions at or below the node, in source order."""
    return [n for n in walk(node) if isinstance(n, cst.Call) and called(n) in functions]


def code(node: cst.CSTNode) -> str:
    """The node's text, without surrounding blanks."""
    return cst.Module(body=[]).code_for_node(node).strip()


def expr(text: str) -> cst.BaseExpression:
    """Parse an expression."""
    return cst.parse_expression(text)


def stmts(text: str) -> list[Statement]:
    """Parse statements."""
    return [s for s in cst.parse_module(text).body if isinstance(s, cst.BaseStatement)]


def stmt(text: str) -> Statement:
    """Parse one statement."""
    return stmts(text)[0]


def body_of(node: cst.FunctionDef | cst.For) -> list[Statement]:
    """The statements of an indented body, a leading docstring left out."""
    if not isinstance(node.body, cst.IndentedBlock):
        raise Refused("a one-line body")
    return [s for s in node.body.body if not _is_text(s)]


def with_body(node: Block, body: Sequence[Statement]) -> Block:
    """The same function or loop around other statements."""
    if not isinstance(node.body, cst.IndentedBlock) or not body:
        raise Refused("no indented body")
    texts: list[cst.BaseStatement] = []
    texts.extend(s for s in node.body.body if _is_text(s))
    return node.with_changes(body=node.body.with_changes(body=[*texts, *body]))


def _is_text(statement: cst.CSTNode) -> bool:
    return (
        isinstance(statement, cst.SimpleStatementLine)
        and len(statement.body) == 1
        and isinstance(statement.body[0], cst.Expr)
        and isinstance(statement.body[0].value, cst.SimpleString | cst.ConcatenatedString)
    )


def assigned(statement: cst.CSTNode) -> tuple[str, cst.BaseExpression] | None:
    """`(name, value)` of a line that is exactly `name = value` or `name: type = value`."""
    if not isinstance(statement, cst.SimpleStatementLine) or len(statement.body) != 1:
        return None
    small = statement.body[0]
    if isinstance(small, cst.Assign) and len(small.targets) == 1:
        target: cst.BaseExpression = small.targets[0].target
    elif isinstance(small, cst.AnnAssign) and small.value is not None:
        target = small.target
    else:
        return None
    if not isinstance(target, cst.Name) or small.value is None:
        return None
    return target.value, small.value


Change = cst.CSTNode | Sequence[cst.CSTNode]


class _Swap(cst.CSTTransformer):
    def __init__(self, changes: Mapping[cst.CSTNode, Change]) -> None:
        super().__init__()
        self._changes = changes

    def on_leave(  # type: ignore[override]
        self, original_node: cst.CSTNode, updated_node: cst.CSTNode
    ) -> object:
        change = self._changes.get(original_node)
        if change is None:
            return updated_node
        if isinstance(change, cst.CSTNode):
            return change
        return cst.FlattenSentinel(list(change)) if change else cst.RemoveFromParent()


Node = TypeVar("Node", bound=cst.CSTNode)


def replaced(root: Node, changes: Mapping[cst.CSTNode, Change]) -> Node:
    """`root` with some of its nodes (by identity) replaced; several or none for a statement.

    A change inside a node that is itself replaced is lost.
    """
    if root in changes:
        raise ValueError("the root itself cannot be replaced")
    result = root.visit(_Swap(changes))
    assert isinstance(result, type(root))  # noqa: S101 - a transformer keeps the root
    return result


class _Renamed(cst.CSTTransformer):
    def __init__(self, names: Mapping[str, cst.BaseExpression]) -> None:
        super().__init__()
        self._names = names

    def leave_Name(  # noqa: N802 - LibCST calls it so
        self, original_node: cst.Name, updated_node: cst.Name
    ) -> cst.BaseExpression:
        return self._names.get(original_node.value, updated_node)

    def leave_Attribute(  # noqa: N802
        self, original_node: cst.Attribute, updated_node: cst.Attribute
    ) -> cst.Attribute:
        return updated_node.with_changes(attr=original_node.attr)

    def leave_Arg(  # noqa: N802
        self, original_node: cst.Arg, updated_node: cst.Arg
    ) -> cst.Arg:
        return updated_node.with_changes(keyword=original_node.keyword)


def renamed(node: Node, names: Mapping[str, cst.BaseExpression]) -> Node:
    """The node with variables replaced; attributes and keywords keep their names."""
    result = node.visit(_Renamed(names))
    if not isinstance(result, cst.CSTNode):
        raise Refused("nothing left")
    return result
