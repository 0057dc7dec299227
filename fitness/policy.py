"""The static gate: reads a candidate's source and refuses what no kernel needs.

It is a tripwire, not the wall: the wall is the process that holds the candidate. What it is good
for is cheap (under a millisecond) and early: text that does not parse, a module without
`ModelNew`, and imports whose only use is to reach around the judge. A finding has a level:

- reject: the candidate is not run;
- flag: it is run, and the finding stands in the evaluation's details;
- note: a fact worth showing, of no consequence.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """What follows from a finding."""

    REJECT = "reject"
    FLAG = "flag"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the gate saw.

    Attributes:
        level: What follows from it.
        rule: Stable name of the rule.
        line: Line in the module, from 1; 0 for the module as a whole.
        text: What was seen, and what would be right.
    """

    level: Level
    rule: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else self.text


# Top-level package -> why a kernel has no use for it.
FORBIDDEN_IMPORTS = {
    "ctypes": "C++ is loaded with load_cpp",
    "cffi": "C++ is loaded with load_cpp",
    "subprocess": "a kernel starts no process",
    "multiprocessing": "a kernel starts no process",
    "concurrent": "a kernel starts no thread of Python",
    "threading": "a kernel starts no thread of Python",
    "_thread": "a kernel starts no thread of Python",
    "asyncio": "a kernel starts no thread of Python",
    "signal": "a kernel handles no signal",
    "pty": "a kernel starts no process",
    "socket": "a kernel has no network",
    "urllib": "a kernel has no network",
    "http": "a kernel has no network",
    "requests": "a kernel has no network",
    "httpx": "a kernel has no network",
    "gc": "a kernel does not look into the interpreter",
    "mmap": "a kernel does not map memory",
    "faulthandler": "a kernel does not look into the interpreter",
    "fitness": "only load_cpp is a candidate's to use: from fitness.native import load_cpp",
    "populations": "a kernel uses nothing of the search",
    "operators": "a kernel uses nothing of the search",
    "evo": "a kernel uses nothing of the search",
}
_FORBIDDEN_OS = frozenset(
    {"_exit", "abort", "dup", "dup2", "fork", "forkpty", "kill", "killpg", "memfd_create", "pipe"}
    | {"popen", "posix_spawn", "posix_spawnp", "setsid", "system", "execl", "execlp", "execv"}
    | {"execve", "execvp", "execvpe", "spawnl", "spawnv"}
)
_FORBIDDEN_CALLS = frozenset(f"os.{name}" for name in _FORBIDDEN_OS) | {
    "sys._getframe",
    "sys.settrace",
    "sys.setprofile",
}
_FLAGGED_CALLS = frozenset(
    ("eval", "exec", "__import__", "importlib.import_module", "globals", "vars", "setattr")
)
_FLAGGED_IMPORTS = frozenset(("importlib", "inspect", "sys", "builtins", "weakref", "time"))
_ALLOWED_FROM_FITNESS = ("fitness.native", frozenset(("load_cpp", "CppError")))
# Modules whose attributes a candidate may read and call, but not replace.
_NOT_TO_PATCH = frozenset(("torch", "time", "triton", "tl", "builtins", "F", "nn"))


def examine(source: str) -> tuple[Finding, ...]:
    """Read a candidate's source; returns every finding, rejections first. Never raises."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", 0) or 0
        text = getattr(error, "msg", None) or str(error) or type(error).__name__
        return (Finding(Level.REJECT, "syntax", line, f"the module does not parse: {text}"),)
    findings = list(_walk(tree))
    if not _defines_model(tree):
        text = "the module defines no ModelNew; a candidate is a module with class ModelNew"
        findings.append(Finding(Level.REJECT, "no-model", 0, text))
    order = list(Level)
    return tuple(sorted(findings, key=lambda f: (order.index(f.level), f.line)))


def rejections(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The findings for which a candidate is not run."""
    return tuple(f for f in findings if f.level is Level.REJECT)


def _defines_model(tree: ast.Module) -> bool:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "ModelNew":
            return True
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "ModelNew" for t in node.targets
        ):
            return True
        if isinstance(node, ast.ImportFrom) and any(
            (alias.asname or alias.name) == "ModelNew" for alias in node.names
        ):
            return True
    return False


def _walk(tree: ast.Module) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _import(alias.name, (), node.lineno)
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            yield from _import(node.module or "", names, node.lineno)
        elif isinstance(node, ast.Call):
            yield from _call(node)
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.Delete):
            yield from _patch(node)


def _import(module: str, names: tuple[str, ...], line: int) -> Iterator[Finding]:
    top = module.partition(".")[0]
    allowed_module, allowed_names = _ALLOWED_FROM_FITNESS
    if module == allowed_module and names and set(names) <= allowed_names:
        return
    if reason := FORBIDDEN_IMPORTS.get(top):
        yield Finding(Level.REJECT, "import", line, f"import of {module} is refused: {reason}")
    elif top == "os" and (bad := _FORBIDDEN_OS & set(names)):
        yield Finding(Level.REJECT, "call", line, f"os.{min(bad)} is refused")
    elif module.startswith("torch.utils.cpp_extension"):
        text = "compiles with torch's headers, which takes about half a minute; load_cpp does not"
        yield Finding(Level.NOTE, "cpp-extension", line, text)
    elif top in _FLAGGED_IMPORTS:
        yield Finding(Level.FLAG, "import", line, f"imports {module}")


def _call(node: ast.Call) -> Iterator[Finding]:
    name = _dotted(node.func)
    if name in _FORBIDDEN_CALLS:
        yield Finding(Level.REJECT, "call", node.lineno, f"{name} is refused")
    elif name in _FLAGGED_CALLS:
        yield Finding(Level.FLAG, "call", node.lineno, f"calls {name}")


def _patch(node: ast.Assign | ast.AugAssign | ast.Delete) -> Iterator[Finding]:
    targets = [node.target] if isinstance(node, ast.AugAssign) else node.targets
    for target in targets:
        name = _dotted(target)
        top, dot, rest = name.partition(".")
        # torch.backends holds settings, which are meant to be assigned to.
        if dot and top in _NOT_TO_PATCH and not rest.startswith("backends."):
            text = f"replaces {name}, which belongs to a library"
            yield Finding(Level.REJECT, "patch", node.lineno, text)


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])
