"""From the statement tree of `ir` back to C++ text, evenly indented."""

from __future__ import annotations

import textwrap

from operators.structural.cpp import ir

_INDENT = "    "


def write_function(function: ir.Function) -> str:
    """The whole definition's text."""
    return f"{function.header.rstrip()} {_braced(function.body, '')}"


def write(statement: ir.Stmt, indent: str = "") -> str:
    """One statement's text, pragmas above it included, without a final newline."""
    lines = [f"{indent}{pragma}" for pragma in statement.pragmas]
    return "\n".join([*lines, indent + _plain(statement, indent)])


def _plain(statement: ir.Stmt, indent: str) -> str:
    match statement:
        case ir.Raw():
            return _raw(statement.text, indent)
        case ir.Decl():
            return _decl(statement)
        case ir.Assign():
            return f"{statement.target} {statement.op} {statement.value};"
        case ir.Block():
            return _braced(statement, indent)
        case ir.If():
            text = f"if ({statement.condition}) {_braced(statement.then, indent)}"
            if statement.otherwise is not None:
                text += f" else {_braced(statement.otherwise, indent)}"
            return text
        case ir.For():
            one = statement.step == "1"
            update = f"++{statement.var}" if one else f"{statement.var} += {statement.step}"
            high = f"({statement.high})" if "?" in statement.high else statement.high
            head = (
                f"for ({statement.type} {statement.var} = {statement.low}; "
                f"{statement.var} < {high}; {update})"
            )
            return f"{head} {_braced(statement.body, indent)}"
    raise TypeError(f"no text for {type(statement).__name__}")


def _braced(block: ir.Block, indent: str) -> str:
    if not block.items:
        return "{\n" + indent + "}"
    inside = "\n".join(write(item, indent + _INDENT) for item in block.items)
    return "{\n" + inside + "\n" + indent + "}"


def _decl(decl: ir.Decl) -> str:
    space = "" if decl.pointer.startswith(("*", "&")) else " "
    gap = " " if decl.pointer else ""
    text = f"{decl.type}{space}{decl.pointer}{gap}{decl.name}"
    text += "".join(f"[{size}]" for size in decl.dims)
    if decl.init is not None:
        text += f" = {decl.init}"
    return f"{text};  {decl.tail}" if decl.tail else f"{text};"


def _raw(text: str, indent: str) -> str:
    first, newline, rest = text.partition("\n")
    if not newline:
        return text
    return first + "\n" + textwrap.indent(textwrap.dedent(rest), indent)
