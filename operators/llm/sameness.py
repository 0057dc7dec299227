"""Whether two kernels are the same but for comments and layout."""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from functools import lru_cache

from populations.parameters import parameters
from populations.source import cpp_sources

# Strings and comments of C++; strings are matched so that a mark inside of one opens no comment.
_CPP = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
_FLAGS = re.compile(r"\s*//\s*flags:([^\n]*)")


@lru_cache(maxsize=1024)
def fingerprint(source: str) -> str:
    """Digest of what a module says, 16 hex digits: equal for texts that differ in layout alone.

    Comments, docstrings, blanks and line breaks do not count, in Python and in the C++ strings of
    `load_cpp`. Values and choices of launch parameters do, and the flags of a C++ source. A text
    that does not parse has the digest of its characters.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            texts = {cpp.text for cpp in cpp_sources(source)}
        for node in ast.walk(tree):
            _drop_docstring(node)
            if isinstance(node, ast.Constant) and node.value in texts:
                node.value = _cpp_key(str(node.value))
        marks = [(p.name, p.value, p.choices) for p in parameters(source)]
        text = f"{ast.dump(tree)}\0{marks}"
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        text = source
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


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
