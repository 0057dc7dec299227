"""Whether two kernels are the same but for comments, layout and names, and how much they share.

Three views of one source, from strict to loose: `fingerprint` (comments and layout do not count),
`shape` (nor what variables are called), `similarity` (the share of character n-grams in common).
None of them runs anything, and any text is accepted.
"""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from collections import Counter
from functools import lru_cache

from populations.parameters import parameters
from populations.source import cpp_sources

# Characters of a piece of text that two kernels can have in common.
GRAM = 5
# Strings and comments of C++; strings are matched so that a mark inside of one opens no comment.
_CPP = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
_FLAGS = re.compile(r"\s*//\s*flags:([^\n]*)")
_NAME = re.compile(r"[A-Za-z_]\w*")
# A variable where it is declared. What is declared in another way keeps its name, and so does what
# is called like a function: it may be known outside.
_DECLARED = re.compile(
    r"\b(?:auto|bool|char|int|unsigned|short|long|float|double|size_t|ssize_t|ptrdiff_t"
    r"|u?int\w*_t|__m\d+[di]?|__bf16|_Float16|__half2?|half2?)\b[\s*&]*"
    r"(?:(?:const|__restrict__|__restrict|restrict)\b[\s*&]*)*([A-Za-z_]\w*)\s*(?=[=;,)\[{:])"
)
_MEMBER = re.compile(r"(?:\.|->|::)\s*([A-Za-z_]\w*)")
_NUMBER = re.compile(r"(?<![\w.])(?:0[xX][0-9a-fA-F]+|(?:\d[\d']*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
# With one of these a name may be looked up by its text.
_REFLECTING = {"exec", "eval", "globals", "locals", "vars", "getattr", "setattr", "compile"}
_KEPT = {"ModelNew", "forward", "self"}
_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


@lru_cache(maxsize=1024)
def fingerprint(source: str) -> str:
    """Digest of what a module says, 16 hex digits: equal for texts that differ in layout alone.

    Comments, docstrings, blanks and line breaks do not count, in Python and in the C++ strings of
    `load_cpp`. Values and choices of launch parameters do, and the flags of a C++ source. A text
    that does not parse has the digest of its characters.
    """
    try:
        tree = _bare_tree(source)
        marks = [(p.name, p.value, p.choices) for p in parameters(source)]
        text = f"{ast.dump(tree)}\0{marks}"
    except _UNREADABLE:
        text = source
    return _digest(text)


@lru_cache(maxsize=4096)
def shape(source: str) -> str:
    """Digest of what a module does, 16 hex digits: the fingerprint without the variables' names.

    Names count where something outside of the text may know them: attributes, methods, imports,
    arguments given by name to what is not defined here, whatever stands in a string too, and all
    of them in a module that looks names up. So equal shapes are the same program.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            texts = {cpp.text for cpp in cpp_sources(source)}
        tree = _bare_tree(source, rename_cpp=True)
        names = _Renamed(tree, {_cpp_key(_renamed_cpp(text)) for text in texts})
        marks = [(names.of(p.name), p.value, p.choices) for p in parameters(source)]
        text = f"{ast.dump(names.visit(tree))}\0{marks}"
    except _UNREADABLE:
        text = source
    return _digest(text)


@lru_cache(maxsize=4096)
def literals(source: str) -> str:
    """Digest of every number, truth value and short string of a module, and of its marks.

    Kernels in which they differ were meant to differ: a tile size, a precision, a hint to a cache.
    """
    found: list[str] = []
    try:
        tree = _bare_tree(source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            texts = {_cpp_key(cpp.text) for cpp in cpp_sources(source)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant):
                continue
            if isinstance(node.value, str) and node.value in texts:
                found += _NUMBER.findall(node.value)
                found += [line for line in node.value.split("\n") if line.startswith("#")]
                found.append(node.value.partition("\n")[0])
            else:
                found.append(repr(node.value))
        marks = [(p.name, p.value) for p in parameters(source)]
    except _UNREADABLE:
        return _digest(source)
    return _digest(f"{sorted(found)}\0{marks}")


def similarity(a: str, b: str) -> float:
    """The share of character n-grams that two sources have in common, 0..1; 1 for the same text.

    Counted with repeats (Jaccard's index of multisets), in what is left without comments and
    docstrings, blanks folded: a line that stands twice in one of them is a difference.
    """
    ours, theirs = _grams(a), _grams(b)
    common = (ours & theirs).total()
    return common / max(1, ours.total() + theirs.total() - common)


def most_similar(a: str, b: str) -> float:
    """What `similarity` is at most, by the lengths alone: cheap, to leave most pairs out."""
    ours, theirs = _grams(a).total(), _grams(b).total()
    return min(ours, theirs) / max(1, ours, theirs)


@lru_cache(maxsize=512)
def _grams(source: str) -> Counter[str]:
    try:
        text = ast.unparse(_bare_tree(source))
    except _UNREADABLE:
        text = source
    text = " ".join(text.replace("\\n", " ").split())
    return Counter(text[at : at + GRAM] for at in range(len(text) - GRAM + 1))


def _bare_tree(source: str, *, rename_cpp: bool = False) -> ast.Module:
    """The syntax tree without docstrings, C++ texts without comments and layout."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
        texts = {cpp.text for cpp in cpp_sources(source)}
    for node in ast.walk(tree):
        _drop_docstring(node)
        if isinstance(node, ast.Constant) and node.value in texts:
            text = str(node.value)
            node.value = _cpp_key(_renamed_cpp(text) if rename_cpp else text)
    return tree


class _Renamed(ast.NodeTransformer):
    """Calls the variables of a module by the order in which they first stand in it."""

    def __init__(self, tree: ast.Module, cpp: set[str]) -> None:
        self.known = _variables(tree, cpp)
        self._functions = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
        self._order: dict[str, str] = {}

    def of(self, name: str) -> str:
        if name not in self.known:
            return name
        return self._order.setdefault(name, f"v{len(self._order)}")

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self.of(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self.of(node.arg)
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.name = self.of(node.name)
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        if _called(node) in self._functions:
            for keyword in node.keywords:
                keyword.arg = self.of(keyword.arg) if keyword.arg else None
        self.generic_visit(node)
        return node


def _variables(tree: ast.Module, cpp: set[str]) -> set[str]:
    """Names that nothing outside of a module's text can know."""
    bound: set[str] = set()
    kept = set(_KEPT)
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                bound.add(name)
            case ast.Name(id=name) if name in _REFLECTING:
                return set()
            case ast.Attribute(attr=name):
                kept.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                kept.update(alias.asname or alias.name.partition(".")[0] for alias in aliases)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                kept.update(names)
            case ast.ClassDef():
                kept |= _of_class(node)
            case ast.Call(keywords=keywords) if _called(node) not in functions:
                kept.update(keyword.arg for keyword in keywords if keyword.arg)
            case ast.Constant(value=str() as text) if text not in cpp:
                kept.update(_NAME.findall(text))
            case _:
                pass
    return (bound | functions) - kept


def _of_class(node: ast.ClassDef) -> set[str]:
    """The names that instances of a class are asked for, arguments of methods among them."""
    kept = {node.name}
    for member in node.body:
        if isinstance(member, ast.FunctionDef):
            kept.add(member.name)
            kept.update(a.arg for a in ast.walk(member.args) if isinstance(a, ast.arg))
        else:
            kept.update(n.id for n in ast.walk(member) if isinstance(n, ast.Name))
    return kept


def _called(node: ast.Call) -> str:
    """The name of what is called, launches of kernels included; "" where it is no name."""
    called = node.func.value if isinstance(node.func, ast.Subscript) else node.func
    return called.id if isinstance(called, ast.Name) else ""


def _renamed_cpp(text: str) -> str:
    """A C++ text with its variables called by the order in which they first stand in it."""
    bare = _CPP.sub(lambda match: match[0] if match[0].startswith('"') else " ", text)
    names = set(_DECLARED.findall(bare)) - set(_MEMBER.findall(bare))
    names -= {name for string in re.findall(r'"[^"\n]*"', bare) for name in _NAME.findall(string)}
    order: dict[str, str] = {}

    def renamed(match: re.Match[str]) -> str:
        name = match[0]
        return order.setdefault(name, f"v{len(order)}") if name in names else name

    flags = _FLAGS.match(text)
    said = f"// flags:{flags[1]}\n" if flags else ""
    return said + re.sub(r"(?<![\w])[A-Za-z_]\w*", renamed, bare)


def _cpp_key(text: str) -> str:
    flags = _FLAGS.match(text)
    bare = _CPP.sub(lambda match: match[0] if match[0].startswith('"') else " ", text)
    # Line breaks end directives, so they count in texts that have any.
    lines = bare.split("\n") if "#" in bare else [bare]
    folded = [" ".join(line.split()) for line in lines]
    return "\n".join([flags[1].strip() if flags else "", *filter(None, folded)])


def _drop_docstring(node: ast.AST) -> None:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and node.body[1:]:
        node.body = node.body[1:]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
