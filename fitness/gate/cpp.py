"""Rules on the tokens of C++ and CUDA.

Comments and strings are not code: what they say is of no matter, unless it is a path or assembly.
A name that the text declares itself is its own, whatever it is called; what no kernel has a use
for is refused where the system's function is meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fitness.gate import cpp_state
from fitness.gate.cpp_tables import (
    ATTRIBUTES,
    FLAGGED,
    FORBIDDEN,
    FORBIDDEN_FREE,
    HEADER_FOLDERS,
    HEADERS,
    KEYWORDS_BEFORE_USE,
    LIBRARY_HEADERS,
    LIBRARY_NAMES,
    PYTHON_NAMES,
    REFUSED_SECTIONS,
    STATEFUL,
)
from fitness.gate.findings import Level
from fitness.gate.report import Report
from fitness.gate.tables import ALWAYS_REFUSED
from fitness.gate.tokens import Source, Token
from fitness.gate.torch_tables import kind

LIBRARY, COMPUTE, STATE = "library-call", "torch-compute", "state"
_ASSEMBLY = frozenset(("asm", "__asm", "__asm__"))
_SYSCALL = re.compile(r"\b(syscall|sysenter|svc)\b|\bint\s+\$?0x80")
# `-ffast-math` and its like, asked for in the text; the loader's list of flags has none of them.
_FAST = re.compile(
    r"\boptimi[sz]e\b.*(fast|unsafe-math|finite-math|no-signed-zeros)", re.IGNORECASE
)
_FAST_REFUSED = "fast arithmetic is refused: flags stand on the first line, `// flags: ...`"
# What assembly says beside its instructions: operands by name, comments, a pause of the device.
_BESIDE = re.compile(r"%\w?\[\w+\]|//[^\n]*|/\*.*?\*/|\bnanosleep\.u32\b", re.DOTALL)
_MODE = re.compile(r"\b(v?ldmxcsr|fldcw|fldenv|frstor|fxrstor|xrstor)", re.IGNORECASE)
_ATTRIBUTES_READ = frozenset(("section", "alias", "weakref", "optimize", "__optimize__"))
_PATHS = (*ALWAYS_REFUSED, "/tmp", "/var/tmp", "/proc/self", "/proc/thread-self", "/run/")
# Raw string literals in a text: each that does not end is looked for until the text does.
_RAW_STRINGS = 100
# Tokens of a list of parameters, at most.
_LONGEST = 1000
_AFTER_NAME = frozenset(("=", ";", ",", ")", "[", "{", ":"))
_RUNS_PYTHON = frozenset(("exec", "eval", "eval_file", "globals", "exec_file"))
_TORCH_MEMBERS = frozenset(
    {"sum", "mean", "add", "add_", "mul", "mul_", "div", "div_", "sub", "sub_", "relu", "relu_"}
    | {"softmax", "exp", "log", "sigmoid", "tanh", "sqrt", "pow", "clamp", "amax", "cumsum", "topk"}
    | {"sort", "argmax", "masked_fill", "index_select", "gather", "scatter_add_", "log_softmax"}
)


def looks_like_cpp(text: str) -> bool:
    """Whether a text is C++ or CUDA, if nothing says so."""
    return "#include" in text or "__global__" in text or 'extern "C"' in text


def examine(text: str, report: Report, first_line: int) -> None:
    """Read a text in C++ or CUDA; findings go to the report, with the module's lines."""
    if text.count('R"') > _RAW_STRINGS:
        said = f"more than {_RAW_STRINGS} raw string literals; a kernel needs none"
        report.add(Level.REJECT, "length", first_line, said)
        return
    outer = report.offset
    report.offset = outer + first_line - 1
    try:
        _Examiner(Source(text), report).examine()
    finally:
        report.offset = outer


class _Examiner:
    def __init__(self, source: Source, report: Report) -> None:
        self._source = source
        self._report = report
        self._uses_torch = False
        self._included: set[str] = set()

    def examine(self) -> None:
        tokens = self._source.tokens
        for directive in self._source.directives:
            if directive.name in ("include", "import", "include_next"):
                self._include(directive.text, directive.line)
            elif directive.name == "pragma" and _FAST.search(directive.text):
                self._report.add(Level.REJECT, "native-arithmetic", directive.line, _FAST_REFUSED)
        own = _declared(tokens)
        self._names(tokens, own)
        for macro in self._source.macros.values():
            self._names(macro.body, own, macro.line)
        self._pasted()
        for what, line in cpp_state.kept(self._source):
            self._report.saw(STATE, line, what)

    def _names(self, tokens: Sequence[Token], own: set[str], line: int = 0) -> None:
        names = {t.text for t in tokens if t.kind == "name"}
        watched = {n for n in names if n in _WATCHED or _INTERESTING.match(n)}
        for i, token in [
            (i, t) for i, t in enumerate(tokens) if t.text in watched or t.kind == "string"
        ]:
            if token.kind == "name":
                self._name(tokens, i, own, line or self._source.line(token))
            elif i == 0 or tokens[i - 1].kind != "string":
                self._string(tokens, i, line)

    def _name(self, tokens: Sequence[Token], i: int, own: set[str], line: int) -> None:
        name, add = tokens[i].text, self._report.add
        before = tokens[i - 1].text if i else ""
        after = tokens[i + 1].text if i + 1 < len(tokens) else ""
        if before in (".", "->"):
            self._member(name, after, line)
        elif name in FORBIDDEN:
            add(Level.REJECT, "native-call", line, f"{name} is refused: {FORBIDDEN[name]}")
        elif name in FORBIDDEN_FREE:
            space = tokens[i - 2].text if before == "::" and i > 1 else ""
            is_name = before == "::" and i > 1 and tokens[i - 2].kind == "name"
            # An operand of assembly has a name of its own: `[read] "r"(x)`.
            is_operand = any(t.kind == "string" for t in tokens[i + 2 : i + 3])
            if before == "[" and after == "]" and is_operand:
                return
            qualified = before == "::" and (not is_name or space in ("std", "return"))
            if qualified or (before != "::" and name not in own):
                add(Level.REJECT, "native-call", line, f"{name} is refused: {FORBIDDEN_FREE[name]}")
        elif name in FLAGGED:
            if name not in own:
                rule, why = FLAGGED[name]
                add(Level.FLAG, rule, line, f"{name}: {why}")
        elif name in STATEFUL:
            self._report.saw(STATE, line, f"{name}: a CUDA graph is replayed")
        elif name in _ASSEMBLY:
            self._assembly(tokens, i, line)
        elif name in ATTRIBUTES or name in _ATTRIBUTES_READ:
            self._attribute(tokens, i, line)
        elif name in ("thread", "jthread", "async"):
            self._thread(tokens, i, line)
        else:
            self._space(tokens, i, line)

    def _member(self, name: str, after: str, line: int) -> None:
        if not self._uses_torch or after != "(":
            return
        if kind(f"torch.Tensor().{name}") == "library":
            self._report.saw(LIBRARY, line, f"Tensor.{name}")
        elif name in _TORCH_MEMBERS:
            self._report.saw(COMPUTE, line, f"Tensor.{name}")

    def _thread(self, tokens: Sequence[Token], i: int, line: int) -> None:
        name = tokens[i].text
        before, after = _around(tokens, i)
        in_std = before == "::" and i > 1 and tokens[i - 2].text == "std"
        makes = (
            after == "(" or (i + 1 < len(tokens) and tokens[i + 1].kind == "name") or after in "{>"
        )
        if in_std and (name != "thread" or after != "::"):
            pass
        elif not ("thread" in self._included or "future" in self._included) or (
            before == "::" or not makes or before in ("int", "unsigned", "size_t", "auto", "const")
        ):
            return
        text = f"std::{name} is refused: threads come from OpenMP, which ends before the call does"
        self._report.add(Level.REJECT, "native-thread", line, text)

    def _assembly(self, tokens: Sequence[Token], i: int, line: int) -> None:
        text = ""
        depth = 0
        for token in tokens[i + 1 : i + 400]:
            depth += (token.text == "(") - (token.text == ")")
            text += _content(token.text) if token.kind == "string" else " "
            if depth == 0 and token.text == ")":
                break
        words = set(re.findall(r"\w+", _BESIDE.sub(" ", text)))
        if _SYSCALL.search(text) or words & (_SYSTEM_NAMES - {"exit"}) or ".incbin" in text:
            said = "assembly that calls the system is refused; assembly that computes is not"
            self._report.add(Level.REJECT, "native-asm", line, said)
        elif _MODE.search(text):
            said = "a kernel does not change how its whole process computes"
            self._report.add(Level.REJECT, "native-arithmetic", line, said)
        elif ".byte" in text or ".section" in text or ".pushsection" in text:
            said = "assembly of bytes, which cannot be read"
            self._report.add(Level.FLAG, "native-asm", line, said)

    def _attribute(self, tokens: Sequence[Token], i: int, line: int) -> None:
        near = [t.text for t in tokens[max(0, i - 12) : i]]
        if "__attribute__" not in near and "gnu" not in near and "__attribute" not in near:
            return
        name = tokens[i].text
        given = "".join(_content(t.text) for t in tokens[i + 1 : i + 4] if t.kind == "string")
        if name in ATTRIBUTES:
            text = f"{name} is refused: {ATTRIBUTES[name]}"
        elif name == "section" and given.startswith(REFUSED_SECTIONS):
            text = f"section {given} is refused: nothing runs when a library is loaded"
        elif name in ("optimize", "__optimize__") and _FAST.search(f"optimize {given}"):
            text = _FAST_REFUSED
        elif name in ("alias", "weakref") and given in _SYSTEM_NAMES:
            text = f"{given} is refused under another name as well"
        else:
            return
        self._report.add(Level.REJECT, "native-constructor", line, text)

    def _space(self, tokens: Sequence[Token], i: int, line: int) -> None:
        """Names that mean something only with what stands around them."""
        name = tokens[i].text
        before, after = _around(tokens, i)
        if name in ("at", "torch", "c10") and after == "::" and before != "::":
            self._torch(tokens, i, line)
        elif name in ("py", "pybind11") and after == "::":
            path = [t.text for t in tokens[i : i + 5]]
            if path[2] in _RUNS_PYTHON or (path[2].startswith("module") and path[-1] == "import"):
                text = f"{'::'.join(path[::2])} is refused: a kernel does not run Python from C++"
                self._report.add(Level.REJECT, "native-python", line, text)
        elif name == "TORCH_LIBRARY_IMPL" and i + 2 < len(tokens):
            if tokens[i + 2].text in ("aten", "prims", "_"):
                text = "replaces operators of torch, which belong to it"
                self._report.add(Level.REJECT, "patch", line, text)
        elif name == "cub" and after == "::" and tokens[i + 2].text.startswith("Device"):
            self._report.saw(LIBRARY, line, f"cub::{tokens[i + 2].text}")
        elif name == "thrust" and after == "::":
            self._report.saw(LIBRARY, line, f"thrust::{tokens[i + 2].text}")
        elif PYTHON_NAMES.fullmatch(name) and name != "PyObject":
            text = f"{name} is refused: a kernel does not run Python from C++"
            self._report.add(Level.REJECT, "native-python", line, text)
        elif LIBRARY_NAMES.fullmatch(name):
            self._report.saw(LIBRARY, line, name)

    def _torch(self, tokens: Sequence[Token], i: int, line: int) -> None:
        parts = [tokens[i].text]
        j = i + 1
        while j + 1 < len(tokens) and tokens[j].text == "::" and tokens[j + 1].kind == "name":
            parts.append(tokens[j + 1].text)
            j += 2
        called = j < len(tokens) and tokens[j].text == "("
        if not called or len(parts) < 2 or parts[1] in ("cuda", "Tensor", "indexing", "detail"):
            return
        name = parts[2] if parts[1] == "_ops" and len(parts) > 2 else parts[-1]
        if name[:1].isupper() or name in ("dtype", "from_blob", "kFloat", "parallel_for"):
            return
        does = kind(f"torch.linalg.{name}" if "linalg" in parts else f"torch.{name}")
        if does in ("library", "compute") and name not in ("get_num_threads", "divup"):
            self._report.saw(LIBRARY if does == "library" else COMPUTE, line, "::".join(parts))

    def _string(self, tokens: Sequence[Token], i: int, line: int) -> None:
        text = ""
        for token in tokens[i:]:
            if token.kind != "string":
                break
            text += _content(token.text)
        if text.startswith(_PATHS):
            line = line or self._source.line(tokens[i])
            said = f"names {text[:60]}: a kernel reaches into no process and keeps nothing for one"
            self._report.add(Level.REJECT, "file", line, said)

    def _include(self, text: str, line: int) -> None:
        name = re.split(r"[<>\"]", text)[1] if re.match(r"[<\"].", text) else ""
        self._included.add(name)
        if name.startswith(("torch/", "ATen/", "c10/")):
            self._uses_torch = True
        if known := HEADERS.get(name):
            level, why = known
            rule = "native-python" if "ython" in why else "native-include"
            self._report.add(level, rule, line, f"#include <{name}>: {why}")
            return
        for folder, why in HEADER_FOLDERS.items():
            if name.startswith(folder):
                text = f"#include <{name}> is refused: {why}"
                self._report.add(Level.REJECT, "native-include", line, text)
                return
        if LIBRARY_HEADERS.fullmatch(name):
            self._report.saw(LIBRARY, line, f"#include <{name}>")

    def _pasted(self) -> None:
        for name, line in self._source.pasted():
            if why := FORBIDDEN.get(name) or FORBIDDEN_FREE.get(name):
                text = f"{name}, put together by a macro, is refused: {why}"
                self._report.add(Level.REJECT, "native-call", line, text)
            elif name in _ASSEMBLY or PYTHON_NAMES.fullmatch(name) or name in ATTRIBUTES:
                text = f"{name} is put together by a macro; write it out"
                self._report.add(Level.REJECT, "native-call", line, text)
            elif LIBRARY_NAMES.fullmatch(name):
                self._report.saw(LIBRARY, line, f"{name}, put together by a macro")


def _declared(tokens: Sequence[Token]) -> set[str]:
    """Names of the system's functions that the text itself gives to something else."""
    found: set[str] = set()
    for i, token in [(i, t) for i, t in enumerate(tokens) if t.text in _MAY_BE_OWN and i]:
        before, after = tokens[i - 1], tokens[i + 1].text if i + 1 < len(tokens) else ""
        if before.text in ("*", "&", "&&") and i > 1:
            before = tokens[i - 2]
        is_type = before.kind == "name" and before.text not in KEYWORDS_BEFORE_USE
        is_type = is_type or before.text in (">", "*")
        if after == "(":
            # A method may be defined outside of its class: `void Tile::read() {`.
            of_class = tokens[i - 1].text == "::" and i > 1 and tokens[i - 2].kind == "name"
            if (is_type or (of_class and tokens[i - 2].text != "std")) and _has_body(tokens, i + 1):
                found.add(token.text)
        elif (is_type and after in ("=", ";", ",", ")", "[", "{", ":")) or (
            before.text in ("{", ",") and (_in_enum(tokens, i) or _is_listed(tokens, i))
        ):
            found.add(token.text)
    return found


def _has_body(tokens: Sequence[Token], start: int) -> bool:
    """Whether a body follows the parameters that begin here."""
    depth = 0
    for i in range(start, min(start + _LONGEST, len(tokens))):
        depth += (tokens[i].text == "(") - (tokens[i].text == ")")
        if depth == 0:
            rest = [t.text for t in tokens[i + 1 : i + 4]]
            return bool(rest) and (rest[0] == "{" or rest[0] in ("const", "noexcept", "->"))
    return False


def _in_enum(tokens: Sequence[Token], i: int) -> bool:
    if tokens[i - 1].text not in ("{", ","):
        return False
    for token in reversed(tokens[max(0, i - 64) : i]):
        if token.text == "enum":
            return True
        if token.text in (";", "}", "("):
            return False
    return False


def _is_listed(tokens: Sequence[Token], i: int) -> bool:
    """Whether it is one of several variables of a declaration: `bool open = true, signal;`."""
    after = tokens[i + 1].text if i + 1 < len(tokens) else ""
    if tokens[i - 1].text != "," or after not in ("=", ";", ",", "["):
        return False
    for j in range(i - 1, max(0, i - 64), -1):
        if tokens[j].text in (";", "{", "}") and tokens[j].kind == "sign":
            first, second = tokens[j + 1], tokens[j + 2]
            is_type = first.kind == "name" and first.text not in KEYWORDS_BEFORE_USE
            return is_type and (second.kind == "name" or second.text in ("*", "&", "<"))
    return False


def _around(tokens: Sequence[Token], i: int) -> tuple[str, str]:
    before = tokens[i - 1].text if i else ""
    after = tokens[i + 1].text if i + 1 < len(tokens) else ""
    return before, after


def _content(literal: str) -> str:
    """What a string literal says."""
    start = literal.find('"')
    if "R" in literal[:start]:
        return literal[literal.find("(") + 1 : literal.rfind(")")]
    text = literal[start + 1 :].removesuffix('"')
    if "\\" in text:
        text = text.encode("latin-1", "replace").decode("unicode_escape", "replace")
    return text


_MAY_BE_OWN = FORBIDDEN_FREE.keys() | FLAGGED.keys()
_SYSTEM_NAMES = FORBIDDEN.keys() | FORBIDDEN_FREE.keys()
_WATCHED = frozenset(
    (*_SYSTEM_NAMES, *FLAGGED, *STATEFUL, *ATTRIBUTES, *_ASSEMBLY, *_TORCH_MEMBERS)
) | frozenset(
    {
        "section",
        "alias",
        "weakref",
        "optimize",
        "__optimize__",
        "thread",
        "jthread",
        "async",
        "at",
        "torch",
        "c10",
        "py",
    }
    | {"pybind11", "TORCH_LIBRARY_IMPL", "cub", "thrust"}
)
_INTERESTING = re.compile(
    rf"({PYTHON_NAMES.pattern}|{LIBRARY_NAMES.pattern}|matmul|mm|bmm|addmm|conv\w+|einsum|linear)\Z"
)
