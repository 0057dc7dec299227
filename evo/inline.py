"""Putting the C++ loader's text into a kernel's module, so that the module stands alone."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from populations.errors import EvoError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

LOADER_MODULE = "fitness.native"

# Start and end offset in a text, and what takes the place of what stands between.
Edit = tuple[int, int, str]


def inline_loader(source: str, *, loader: str | None = None) -> str:
    """Put the loader's text where a module imports it; a module that does not stays as it is.

    Module-level names that both texts bind to different things are renamed in the loader, so that
    neither changes the other.

    Args:
        source: A kernel's module, with `from fitness.native import load_cpp` at its top level.
        loader: The text; that of `fitness.native` if None. It imports the standard library and
            torch alone.

    Raises:
        SyntaxError: The module does not parse.
        EvoError: The loader cannot be found, or shares a name that cannot be renamed.
    """
    tree = ast.parse(source)
    imports = [
        node
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == LOADER_MODULE and not node.level
    ]
    if not imports:
        return source
    text = loader_text() if loader is None else loader
    text, asks_future = _without_future(text)
    asked = {alias.name for node in imports for alias in node.names if alias.asname is None}
    new_names = _new_names(_bound(ast.parse(text).body), _bound(tree.body, imports), asked)
    if new_names:
        text = rename_globals(text, new_names)
    edits = []
    for node in imports:
        lines = [_framed(text)] if node is imports[0] else []
        lines += [f"{a.asname} = {new_names.get(a.name, a.name)}" for a in node.names if a.asname]
        edits.append(_statement_edit(source, node, "\n".join(lines)))
    if asks_future and "annotations" not in _futures(tree):
        edits.append(_future_edit(source, tree))
    return edited(source, edits)


def rename_globals(text: str, new_names: Mapping[str, str]) -> str:
    """Rename module-level names of a text wherever they are bound and used, by scope.

    Raises:
        EvoError: A name is bound by `import a.b`, which has no name of its own to change.
    """
    import libcst as cst
    from libcst.metadata import GlobalScope, MetadataWrapper, ScopeProvider

    wrapper = MetadataWrapper(cst.parse_module(text))
    scopes = {scope for scope in wrapper.resolve(ScopeProvider).values() if scope is not None}
    module_scope = next(scope for scope in scopes if isinstance(scope, GlobalScope))
    places: dict[cst.CSTNode, str] = {}
    for old, new in new_names.items():
        for assignment in module_scope[old]:
            node = getattr(assignment, "node", None)
            if isinstance(node, cst.Import | cst.ImportFrom):
                aliases = node.names if not isinstance(node.names, cst.ImportStar) else ()
                for alias in aliases:
                    name = alias.evaluated_alias or alias.evaluated_name.partition(".")[0]
                    if name == old:
                        places[alias] = new
            elif isinstance(node, cst.CSTNode):
                places[node] = new
            places |= {access.node: new for access in assignment.references}

    class Renamer(cst.CSTTransformer):
        def on_leave(self, original_node, updated_node):  # type: ignore[no-untyped-def]
            new = places.get(original_node)
            if isinstance(original_node, cst.NameItem):
                new = new_names.get(original_node.name.value)
            if new is None:
                return updated_node
            name = cst.Name(new)
            if isinstance(updated_node, cst.Name):
                return updated_node.with_changes(value=new)
            if isinstance(updated_node, cst.ImportAlias):
                if updated_node.asname is None and isinstance(updated_node.name, cst.Attribute):
                    raise EvoError(f"the C++ loader binds {updated_node.evaluated_name} by import")
                return updated_node.with_changes(asname=cst.AsName(name=name))
            return updated_node.with_changes(name=name)

    return wrapper.module.visit(Renamer()).code


def loader_text() -> str:
    """The text of the loader, read without importing it: that would load torch.

    Raises:
        EvoError: The installation lacks the loader.
    """
    spec = importlib.util.find_spec(LOADER_MODULE)
    if spec is None or spec.origin is None:
        raise EvoError(f"cannot find {LOADER_MODULE}, which a C++ champion's file carries")
    return Path(spec.origin).read_text(encoding="utf-8")


def span(source: str, node: ast.stmt | ast.expr) -> tuple[int, int]:
    """Where a node stands in a text whose lines end in a line feed, as offsets."""
    lines = source.split("\n")

    def offset(line: int, column_bytes: int) -> int:
        before = sum(len(text) + 1 for text in lines[: line - 1])
        return before + len(lines[line - 1].encode()[:column_bytes].decode())

    start = offset(node.lineno, node.col_offset)
    return start, offset(node.end_lineno or node.lineno, node.end_col_offset or 0)


def edited(source: str, edits: Iterable[Edit]) -> str:
    """Apply edits that do not overlap; of two that begin together the insertion comes first."""
    for start, end, text in sorted(edits, reverse=True):
        source = source[:start] + text + source[end:]
    return source


def _statement_edit(source: str, node: ast.stmt, text: str) -> Edit:
    """Put `text` on lines of its own in place of a statement, which may share its line."""
    start, end = span(source, node)
    if source[source.rfind("\n", 0, start) + 1 : start].strip():
        text = f"\n{text}"
    rest = source[end:].lstrip(" \t")
    if rest.startswith(";"):
        rest = rest[1:].lstrip(" \t")
        return start, len(source) - len(rest), f"{text}\n"
    return start, end, text


def _framed(text: str) -> str:
    rule = "-" * 30
    return f"# {rule} C++ loader {rule}\n{text.strip()}\n# {rule} end of loader {rule}"


def _without_future(text: str) -> tuple[str, bool]:
    nodes = [
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    edits = []
    for node in nodes:
        start, end = span(text, node)
        rest = text[end:]
        edits.append((start, end + len(rest) - len(rest.lstrip("\n")), ""))
    return edited(text, edits), bool(nodes)


def _futures(tree: ast.Module) -> set[str]:
    return {
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        for alias in node.names
    }


def _future_edit(source: str, tree: ast.Module) -> Edit:
    """Insert the loader's future import behind the docstring, where it has to stand."""
    statement = "from __future__ import annotations"
    first = tree.body[0]
    if ast.get_docstring(tree, clean=False) is not None:
        end = span(source, first)[1]
        blank = "" if source.startswith("\n\n", end) else "\n"
        return end, end, f"\n\n{statement}{blank}"
    decorators = getattr(first, "decorator_list", [])
    line = min(node.lineno for node in [first, *decorators])
    start = sum(len(text) + 1 for text in source.split("\n")[: line - 1])
    return start, start, f"{statement}\n\n"


def _new_names(
    own: Mapping[str, str | None], others: Mapping[str, str | None], asked: Collection[str]
) -> dict[str, str]:
    """New names for the loader's names that the kernel binds too, but for those it asked for."""
    taken = own.keys() | others.keys()
    new_names = {}
    for name in sorted(own.keys() & others.keys() - set(asked)):
        if own[name] is None or own[name] != others[name]:
            new = f"_loader_{name.lstrip('_')}"
            while new in taken:
                new += "_"
            new_names[name] = new
    return new_names


def _bound(body: Iterable[ast.stmt], without: Collection[ast.stmt] = ()) -> dict[str, str | None]:
    """Module-level names -> what is imported under them; None when they are bound otherwise."""
    bound: dict[str, str | None] = {}
    for statement in body:
        if statement in without:
            continue
        for node in _own_scope(statement):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    bound[name] = alias.name if alias.asname else name
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    bound[alias.asname or alias.name] = f"{node.level}{node.module}:{alias.name}"
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound[node.id] = None
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                bound[node.name] = None
    return bound


def _own_scope(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what is in it, without the insides of functions and classes."""
    yield node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from _own_scope(child)
