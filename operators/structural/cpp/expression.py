"""Questions about one expression's text, and substitution into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from operators.structural.cpp.tree import parse_expression, text_of, walk

if TYPE_CHECKING:
    from tree_sitter import Node

_ATOMS = {"identifier", "number_literal", "parenthesized_expression", "call_expression"}
# A replacement that is not an atom keeps its meaning in these places without parentheses.
_OPEN = {"subscript_argument_list", "argument_list", "parenthesized_expression", "initializer_list"}


@dataclass(frozen=True, slots=True)
class Access:
    """One array element mentioned in an expression.

    Attributes:
        text: The subscript as written: `x[i * n + j]`.
        base: The array's or pointer's name.
        indices: Subscripts, outermost first.
        start: Offset of `text` in the expression, in bytes.
        wide: The vector type through which it is read or written, or "".
    """

    text: str
    base: str
    indices: tuple[str, ...]
    start: int
    wide: str

    @property
    def end(self) -> int:
        """Offset behind the subscript."""
        return self.start + len(self.text.encode())


@lru_cache(maxsize=8192)
def names(text: str) -> frozenset[str]:
    """Identifiers in an expression, function names and members left out."""
    return frozenset(
        text_of(node) for node in walk(parse_expression(text)) if node.type == "identifier"
    )


@lru_cache(maxsize=8192)
def accesses(text: str) -> tuple[Access, ...]:
    """Every subscript of a named array, outermost subscripts only, in source order."""
    root = parse_expression(text)
    found: list[Access] = []
    stack = [root]
    while stack:
        node = stack.pop()
        if node.type == "subscript_expression":
            base, indices = _subscripts(node)
            if base is not None:
                offset = node.start_byte - root.start_byte
                found.append(Access(text_of(node), base, tuple(indices), offset, _wide(node)))
                stack.extend(
                    child for child in walk(node) if child.type == "subscript_argument_list"
                )
                continue
        stack.extend(reversed(node.children))
    unique = {access.start: access for access in found}
    return tuple(unique[start] for start in sorted(unique))


def _subscripts(node: Node) -> tuple[str | None, list[str]]:
    indices: list[str] = []
    while node.type == "subscript_expression":
        inner = node.child_by_field_name("argument")
        arguments = node.child_by_field_name("indices")
        if inner is None or arguments is None or len(arguments.named_children) != 1:
            return None, []
        indices.insert(0, text_of(arguments.named_children[0]))
        node = inner
    return (text_of(node), indices) if node.type == "identifier" else (None, [])


def _wide(node: Node) -> str:
    """The vector type when the subscript stands in `*(const float_v*)&x[i]`."""
    above = node.parent
    if above is None or above.type != "pointer_expression" or not text_of(above).startswith("&"):
        return ""
    cast = above.parent
    target = cast.child_by_field_name("type") if cast and cast.type == "cast_expression" else None
    return text_of(target).replace("const", "").strip(" *") if target is not None else ""


def substitute(text: str, replacements: Mapping[str, str]) -> str:
    """Replace identifiers by expressions, with parentheses where precedence needs them."""
    if not replacements or names(text).isdisjoint(replacements):
        return text

    def new(node: Node) -> str | None:
        if node.type != "identifier" or (replacement := replacements.get(text_of(node))) is None:
            return None
        parent = node.parent
        if parent is None or parent.type in _OPEN or is_atom(replacement):
            return replacement
        return f"({replacement})"

    return rewrite(text, new)


def is_atom(text: str) -> bool:
    """Whether the expression binds tighter than any operator around it."""
    node = parse_expression(text)
    return node.type in _ATOMS or node.type == "subscript_expression"


def rewrite(text: str, new: Callable[[Node], str | None]) -> str:
    """Replace every outermost node for which `new` gives a text."""
    root = parse_expression(text)
    data = text.encode()
    base = root.start_byte
    parts: list[bytes] = []
    at = 0

    def visit(node: Node) -> None:
        nonlocal at
        replacement = new(node)
        if replacement is not None:
            parts.append(data[at : node.start_byte - base])
            parts.append(replacement.encode())
            at = node.end_byte - base
            return
        for child in node.children:
            visit(child)

    visit(root)
    parts.append(data[at:])
    return b"".join(parts).decode()


def replace_accesses(text: str, new: Callable[[Access], str | None]) -> str:
    """Replace whole subscripts for which `new` gives a text; those inside others come along."""
    data = text.encode()
    chosen: list[tuple[Access, str]] = []
    behind = 0
    for access in accesses(text):
        if access.start < behind or (replacement := new(access)) is None:
            continue
        chosen.append((access, replacement))
        behind = access.end
    for access, replacement in reversed(chosen):
        data = data[: access.start] + replacement.encode() + data[access.end :]
    return data.decode()


def factors(text: str) -> list[str]:
    """The factors of a product, left to right; the expression alone when it is not a product."""
    return _operands(parse_expression(text), "*")


def conjuncts(text: str) -> list[str]:
    """The parts of `a && b && c`."""
    return _operands(parse_expression(text), "&&")


def _operands(node: Node, operator: str) -> list[str]:
    while node.type == "parenthesized_expression" and node.named_children:
        node = node.named_children[0]
    if node.type == "binary_expression":
        sign = node.child_by_field_name("operator")
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        if sign is not None and text_of(sign) == operator and left and right:
            return [*_operands(left, operator), *_operands(right, operator)]
    return [text_of(node)]


def parenthesised(text: str) -> str:
    """The expression, fit to be an operand."""
    return text if is_atom(text) else f"({text})"
