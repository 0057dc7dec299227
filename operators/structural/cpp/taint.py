"""Which statements of a loop's body depend on its variable, directly or through other variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.structural.cpp import ir
from operators.structural.cpp.expression import accesses, names, rewrite, substitute
from operators.structural.cpp.tree import Unsupported, text_of

if TYPE_CHECKING:
    from tree_sitter import Node


def dependents(body: ir.Block, var: str) -> set[str]:
    """Names declared in `body` whose values may differ between iterations of `var`'s loop."""
    declared = {s.name for s in ir.walk(body) if isinstance(s, ir.Decl)}
    found: set[str] = set()
    while True:
        moving = found | {var}
        more = {
            name
            for statement in ir.walk(body)
            if (name := _written(statement)) in declared and uses(statement, moving)
        }
        if more <= found:
            return found
        found |= more


def _written(statement: ir.Stmt) -> str:
    match statement:
        case ir.Decl():
            return statement.name
        case ir.Assign():
            found = accesses(statement.target)
            return found[0].base if found and found[0].start == 0 else statement.target
    return ""


def uses(statement: ir.Stmt, wanted: set[str]) -> bool:
    """Whether the statement itself, apart from those inside it, mentions one of the names."""
    return any(not names(e).isdisjoint(wanted) for e in ir.expressions(statement))


def inline_constants(body: ir.Block, wanted: set[str]) -> None:
    """Replace scalar integer constants declared in `body` and named in `wanted` by their values."""
    for block in [b for s in ir.walk(body) for b in _blocks(s)]:
        for item in list(block.items):
            if isinstance(item, ir.Decl) and item.is_const and item.init and item.name in wanted:
                if (
                    "float" in item.type
                    or "double" in item.type
                    or item.type.startswith("constexpr")
                ):
                    continue
                block.items.remove(item)
                rename(block, {item.name: item.init})


def _blocks(statement: ir.Stmt) -> list[ir.Block]:
    return [statement] if isinstance(statement, ir.Block) else ir.children(statement)


def rename(statement: ir.Stmt, values: dict[str, str]) -> None:
    """Substitute names in every expression inside a statement.

    Raises Unsupported when a name is declared anew inside, or stands in text that is not
    understood.
    """
    for inner in ir.walk(statement):
        match inner:
            case ir.Decl():
                if inner.name in values:
                    raise Unsupported(f"{inner.name} is declared again")
                inner.init = substitute(inner.init, values) if inner.init else inner.init
                inner.dims = [substitute(d, values) for d in inner.dims]
            case ir.Assign():
                inner.target = substitute(inner.target, values)
                inner.value = substitute(inner.value, values)
            case ir.If():
                inner.condition = substitute(inner.condition, values)
            case ir.For():
                if inner.var in values:
                    raise Unsupported(f"{inner.var} is declared again")
                inner.low = substitute(inner.low, values)
                inner.high = substitute(inner.high, values)
                inner.step = substitute(inner.step, values)
            case ir.Raw() if not inner.text.startswith(("//", "/*")):
                if any(name in inner.text for name in values):
                    raise Unsupported("a statement that is not understood")


def subscript_names(expression: str, variables: set[str], index: str) -> str:
    """Put `[index]` directly behind every mention of the given variables; other subscripts stay."""

    def new(node: Node) -> str | None:
        if node.type != "identifier" or (text := text_of(node)) not in variables:
            return None
        return f"{text}[{index}]"

    return rewrite(expression, new)
