"""Parsing C++ with tree-sitter: whole sources and single expressions.

tree-sitter is imported on the first parse, so that importing the operators stays light.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node, Parser

_PREFIX = "void f(){(void)("
_SUFFIX = ");}"


class Unsupported(Exception):
    """The source has a form that an edit does not handle; becomes `Inapplicable`."""


@lru_cache(maxsize=1)
def _parser() -> Parser:
    import tree_sitter_cpp
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_cpp.language()))


def parse(source: str) -> Node:
    """Root node of a whole C++ source. Byte offsets of nodes refer to its UTF-8 form."""
    return _parser().parse(source.encode()).root_node


@lru_cache(maxsize=8192)
def parse_expression(text: str) -> Node:
    """Node of one expression. Raises Unsupported when the text is not one."""
    root = parse(_PREFIX + text + _SUFFIX)
    if root.has_error:
        raise Unsupported(f"not an expression: {text}")
    statement = root.named_children[0].named_children[-1].named_children[0]
    cast = statement.named_children[0]
    value = cast.child_by_field_name("value")
    if value is None or value.type != "parenthesized_expression" or not value.named_children:
        raise Unsupported(f"not an expression: {text}")
    return value.named_children[0]


def text_of(node: Node) -> str:
    """The text a node covers."""
    return (node.text or b"").decode()


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, in source order."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(current.children))


def is_well_formed(source: str) -> bool:
    """Whether the whole source parses without an error or a missing token."""
    return not parse(source).has_error
