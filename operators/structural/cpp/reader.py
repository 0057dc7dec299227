"""From C++ text to the statement tree of `ir`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from operators.structural.cpp import ir
from operators.structural.cpp.tree import Unsupported, parse, text_of, walk

if TYPE_CHECKING:
    from tree_sitter import Node

# Directives that are statements of their own rather than belonging to the next one.
_STANDALONE = re.compile(r"#\s*pragma\s+omp\s+(barrier|taskwait|taskyield|flush)|#(?!\s*pragma)")


def read_functions(source: str) -> list[ir.Function]:
    """Every function definition with a body, in source order; odd ones are left out."""
    found = []
    for node in walk(parse(source)):
        if node.type == "function_definition":
            try:
                found.append(_function(source, node))
            except Unsupported:
                continue
    return found


def _function(source: str, node: Node) -> ir.Function:
    declarator = node.child_by_field_name("declarator")
    while declarator is not None and declarator.type != "function_declarator":
        declarator = declarator.child_by_field_name("declarator")
    body = node.child_by_field_name("body")
    if declarator is None or body is None or body.type != "compound_statement" or node.has_error:
        raise Unsupported("not a plain function definition")
    name = declarator.child_by_field_name("declarator")
    parameters = declarator.child_by_field_name("parameters")
    params = {}
    for parameter in parameters.named_children if parameters else ():
        inner = parameter.child_by_field_name("declarator")
        while inner is not None and inner.type != "identifier":
            inner = next((c for c in reversed(inner.named_children)), None)
        if inner is not None:
            params[text_of(inner)] = text_of(parameter)
    header = source.encode()[node.start_byte : body.start_byte].decode()
    return ir.Function(
        text_of(name) if name else "", header, params, _block(body), node.start_byte, node.end_byte
    )


def _block(node: Node) -> ir.Block:
    """A compound statement, or any single statement, as a block."""
    nodes = node.named_children if node.type == "compound_statement" else [node]
    items: list[ir.Stmt] = []
    pragmas: list[str] = []
    last_row = -1
    for child in nodes:
        if child.type == "preproc_call" and not _STANDALONE.match(text_of(child)):
            pragmas.append(" ".join(text_of(child).replace("\\\n", " ").split()))
            continue
        if child.type == "comment":
            last = items[-1] if items else None
            if isinstance(last, ir.Decl) and child.start_point[0] == last_row:
                last.tail = text_of(child)
            else:
                items.append(ir.Raw(text_of(child)))
            continue
        statements = _statement(child)
        if pragmas and statements:
            statements[0].pragmas = pragmas
            pragmas = []
        items.extend(statements)
        last_row = child.end_point[0]
    items.extend(ir.Raw(p) for p in pragmas)
    return ir.Block(items)


def _statement(node: Node) -> list[ir.Stmt]:
    match node.type:
        case "compound_statement":
            return [_block(node)]
        case "for_statement":
            return [_for(node)]
        case "if_statement":
            return [_if(node)]
        case "declaration":
            return _declaration(node)
        case "expression_statement":
            return [_expression(node)]
    return [ir.Raw(text_of(node).strip())]


def _for(node: Node) -> ir.Stmt:
    start = node.child_by_field_name("initializer")
    test = node.child_by_field_name("condition")
    update = node.child_by_field_name("update")
    body = node.child_by_field_name("body")
    raw = ir.Raw(text_of(node))
    if start is None or test is None or update is None or body is None:
        return raw
    declared = _declaration(start) if start.type == "declaration" else []
    counter = declared[0] if len(declared) == 1 else None
    if not isinstance(counter, ir.Decl) or not counter.is_scalar or counter.init is None:
        return raw
    high = _upper(test, counter.name)
    step = _step(update, counter.name)
    if high is None or step is None:
        return raw
    return ir.For(counter.type, counter.name, counter.init, high, step, _block(body))


def _upper(test: Node, var: str) -> str | None:
    """The exclusive upper bound in `var < bound` or `var <= bound`."""
    if test.type != "binary_expression":
        return None
    left, right = test.child_by_field_name("left"), test.child_by_field_name("right")
    operator = test.child_by_field_name("operator")
    if left is None or right is None or operator is None or text_of(left) != var:
        return None
    if text_of(operator) == "<":
        return text_of(right)
    return f"{text_of(right)} + 1" if text_of(operator) == "<=" else None


def _step(update: Node, var: str) -> str | None:
    text = "".join(text_of(update).split())
    if text in (f"++{var}", f"{var}++"):
        return "1"
    if update.type == "assignment_expression" and text.startswith(f"{var}+="):
        right = update.child_by_field_name("right")
        return text_of(right) if right is not None else None
    return None


def _if(node: Node) -> ir.Stmt:
    condition = node.child_by_field_name("condition")
    then = node.child_by_field_name("consequence")
    alternative = node.child_by_field_name("alternative")
    if condition is None or then is None or condition.type != "condition_clause":
        return ir.Raw(text_of(node))
    value = condition.child_by_field_name("value")
    plain = value is not None and len(condition.named_children) == 1
    if not plain or any(text_of(child) == "constexpr" for child in node.children):
        return ir.Raw(text_of(node))
    otherwise = None
    if alternative is not None:
        otherwise = _block(alternative.named_children[-1])
    assert value is not None  # noqa: S101 - follows from `plain`
    return ir.If(text_of(value), _block(then), otherwise)


def _declaration(node: Node) -> list[ir.Stmt]:
    declarators = node.children_by_field_name("declarator")
    if not declarators:
        return [ir.Raw(text_of(node))]
    prefix = text_of(node).encode()[: declarators[0].start_byte - node.start_byte].decode()
    found: list[ir.Stmt] = []
    for declarator in declarators:
        one = _declarator(" ".join(prefix.split()), declarator)
        if one is None:
            return [ir.Raw(text_of(node))]
        found.append(one)
    return found


def _declarator(prefix: str, node: Node) -> ir.Decl | None:
    init = None
    if node.type == "init_declarator":
        value, inner = node.child_by_field_name("value"), node.child_by_field_name("declarator")
        if value is None or inner is None or value.type == "argument_list":
            return None
        init, node = text_of(value), inner
    dims: list[str] = []
    pointer = ""
    while node.type != "identifier":
        inner = node.child_by_field_name("declarator")
        if node.type == "array_declarator" and inner is not None:
            size = node.child_by_field_name("size")
            if size is None or pointer:
                return None
            dims.insert(0, text_of(size))
        elif node.type == "pointer_declarator" and inner is not None and not pointer and not dims:
            words = text_of(node).encode()[: inner.start_byte - node.start_byte].decode()
            pointer = " ".join(words.split())
        else:
            return None
        node = inner
    return ir.Decl(prefix, pointer, text_of(node), dims, init)


def _expression(node: Node) -> ir.Stmt:
    inner = node.named_children[0] if node.named_children else None
    if inner is not None and inner.type == "assignment_expression":
        left, right = inner.child_by_field_name("left"), inner.child_by_field_name("right")
        operator = inner.child_by_field_name("operator")
        if left is not None and right is not None and operator is not None:
            return ir.Assign(text_of(left), text_of(operator), text_of(right))
    return ir.Raw(text_of(node))
