"""The part of a problem file that a candidate needs to build the reference's state.

A candidate has Model's constructor, so that its state has the same names, shapes and, seeded alike,
values. What Model needs from its file comes along word for word; `forward` and all that only it
needs stays behind.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fitness.inductor.wrapper import UntranslatableError

MODEL = "Model"
CANDIDATE = "ModelNew"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceText:
    """Parts of a problem file.

    Attributes:
        imports: Import statements that the other parts need, one per line.
        definitions: Other statements at file level that they need, in order.
        class_head: "class ModelNew(nn.Module):".
        class_body: Model's docstring, constructor and what it calls, indented.
        parameters: The parameters of Model.forward after self, as written.
        names: Their names in order; a name after `*` stands last with the star.
        taken: Every name that these parts bind or use at file level.
    """

    imports: str
    definitions: str
    class_head: str
    class_body: str
    parameters: str
    names: tuple[str, ...]
    taken: frozenset[str]


def reference_text(source: str) -> ReferenceText:
    """Take a problem file apart.

    Raises UntranslatableError when Model is not a class written in the file itself.
    """
    tree = ast.parse(source)
    model = next(
        (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == MODEL),
        None,
    )
    if model is None:
        raise UntranslatableError("class Model is not written in the problem file itself")
    forward = _method(model, "forward")
    if forward is None:
        raise UntranslatableError("class Model inherits its forward")
    kept = _needed_members(model)
    needed = _needed_statements(tree, model, [*kept, forward.args])
    names = {n for node in (*needed, *kept, forward.args) for n in _used_names(node)}
    names |= {n for node in needed for n in _bound_names(node)}
    imports = [s for s in needed if isinstance(s, ast.Import | ast.ImportFrom)]
    others = [s for s in needed if s not in imports]
    head = ", ".join(_text(source, b) for b in (*model.bases, *model.keywords))
    return ReferenceText(
        imports="\n".join(_import_text(s, names) for s in imports),
        definitions=_joined([_renamed(source, s) for s in others]),
        class_head=f"class {CANDIDATE}({head}):" if head else f"class {CANDIDATE}:",
        class_body=_joined([_renamed(source, member) for member in kept]),
        parameters=ast.unparse(_without_self(forward.args)),
        names=_parameter_names(forward.args),
        taken=frozenset(names),
    )


def _method(model: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    return next((n for n in model.body if isinstance(n, ast.FunctionDef) and n.name == name), None)


def _needed_members(model: ast.ClassDef) -> list[ast.stmt]:
    """The docstring, assignments, and every method that the constructor may call."""
    methods = {n.name: n for n in model.body if isinstance(n, ast.FunctionDef)}
    wanted = [n for n in methods if n == "__init__"]
    for name in wanted:
        for node in ast.walk(methods[name]):
            attribute = node.attr if isinstance(node, ast.Attribute) else ""
            if attribute in methods and attribute != "forward" and attribute not in wanted:
                wanted.append(attribute)
    return [n for n in model.body if not isinstance(n, ast.FunctionDef) or n.name in wanted]


def _needed_statements(
    tree: ast.Module, model: ast.ClassDef, roots: Iterable[ast.AST]
) -> list[ast.stmt]:
    """Statements at file level that bind what the roots use, directly or through one another."""
    binders: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in _bound_names(statement):
            binders.setdefault(name, []).append(statement)
    wanted = {n for root in roots for n in _used_names(root)}
    wanted |= {n for base in (*model.bases, *model.keywords) for n in _used_names(base)}
    needed: list[ast.stmt] = []
    queue = sorted(wanted - {MODEL})
    seen = set(queue)
    while queue:
        for statement in binders.get(queue.pop(), ()):
            if statement in needed:
                continue
            needed.append(statement)
            if isinstance(statement, ast.Import | ast.ImportFrom):
                continue
            more = set(_used_names(statement)) - seen
            seen |= more
            queue += sorted(more)
    if model in needed:
        raise UntranslatableError("a part of class Model's constructor refers to Model")
    return sorted(needed, key=lambda s: s.lineno)


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


def _used_names(node: ast.AST) -> Iterator[str]:
    """Names that a piece of text takes from outside itself."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        body = node.body if isinstance(node.body, list) else [node.body]
        own = {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
        own |= {
            n.id
            for part in body
            for n in ast.walk(part)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        yield from (n for part in body for n in _used_names(part) if n not in own)
        yield from _used_names(node.args)
        for part in (*getattr(node, "decorator_list", ()), getattr(node, "returns", None)):
            yield from _used_names(part) if part else ()
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield node.id
    for child in ast.iter_child_nodes(node):
        yield from _used_names(child)


def _import_text(statement: ast.stmt, names: set[str]) -> str:
    assert isinstance(statement, ast.Import | ast.ImportFrom)  # noqa: S101 - the caller chose them
    aliases = [
        a for a in statement.names if (a.asname or a.name.partition(".")[0]) in names
    ] or statement.names
    if isinstance(statement, ast.Import):
        return ast.unparse(ast.Import(names=aliases))
    copy = ast.ImportFrom(module=statement.module, names=aliases, level=statement.level)
    return ast.unparse(copy)


def _text(source: str, node: ast.AST) -> str:
    return ast.get_source_segment(source, node) or ast.unparse(node)


def _joined(texts: list[str]) -> str:
    """Statements one below the other, with a blank line around those of several lines."""
    joined = ""
    for before, text in itertools.pairwise(["", *texts]):
        joined += ("\n\n" if "\n" in before + text else "\n") if before else ""
        joined += text
    return joined


def _renamed(source: str, node: ast.stmt) -> str:
    """The statement's own text, decorators and indentation included, with Model renamed."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    lines = source.splitlines()[first - 1 : node.end_lineno]
    places = [
        (n.lineno - first, n.col_offset)
        for n in ast.walk(node)
        if isinstance(n, ast.Name) and n.id == MODEL
    ]
    for row, column in sorted(places, reverse=True):
        data = lines[row].encode()
        data = data[:column] + CANDIDATE.encode() + data[column + len(MODEL) :]
        lines[row] = data.decode()
    return "\n".join(lines)


def _without_self(arguments: ast.arguments) -> ast.arguments:
    copy = ast.parse(f"def f({ast.unparse(arguments)}): pass").body[0]
    assert isinstance(copy, ast.FunctionDef)  # noqa: S101 - the line above is a function
    first = copy.args.posonlyargs or copy.args.args
    del first[0]
    if len(copy.args.defaults) > len(copy.args.posonlyargs) + len(copy.args.args):
        del copy.args.defaults[0]
    return copy.args


def _parameter_names(arguments: ast.arguments) -> tuple[str, ...]:
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)][1:]
    if arguments.vararg:
        names.append(f"*{arguments.vararg.arg}")
    return tuple(names)
