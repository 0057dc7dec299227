"""What a candidate compiles to, and the results that it may have for that.

Two texts of one search often compile to the same code: an edit that the optimiser undoes, a loop
that it had unrolled itself. Measuring both is not only time lost: each measurement of one thing is
another draw, and a search keeps the luckiest. So the second is given the first one's result.

A key is a digest of all that decides what runs: the module without the texts that were compiled,
and what they were compiled to. For C++ our own builder has the library. For Triton the candidate's
process says what its kernels were compiled to, after they were launched and checked; it is the
process of a module that is, but for the bodies of its `jit` functions, which nobody executes as
Python, the very module that was judged before.
"""

from __future__ import annotations

import ast
import hashlib
import re
import threading
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fitness import native
from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation, Outcome
from populations.source import cpp_sources

# In an evaluation's details.
KEY = "binary"
SAME = "same_binary_as"
# What these found may be another time's fault or luck.
_NOT_GIVEN = {Outcome.TIMEOUT, Outcome.CHEATED}
_FUNCTION = re.compile(r"\b([A-Za-z_]\w*)\s*\([^()]*\)\s*(?:noexcept\s*)?\{")
# `fitness.diagnostics.loaded` lists no more.
_MOST_KERNELS = 16


@dataclass(frozen=True, slots=True)
class Repeat:
    """A judge's answer on a candidate that compiles to what was judged before.

    Attributes:
        key: Which that is.
        build_s: Seconds spent compiling.
        run_s: Seconds from the start of the runner to its end.
    """

    key: str
    build_s: float
    run_s: float


def cpp_key(candidate: Candidate, files: Sequence[Path]) -> str:
    """The key of a candidate whose C++ was compiled to `files`; "" where nothing was."""
    if not files:
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            texts = [cpp.text for cpp in cpp_sources(candidate.source)]
            tree = ast.parse(candidate.source)
        found = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in texts:
            node.value = ""
    # How arguments are passed to what the module calls is read from the text.
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    kinds = [
        [(n, native.declared_kinds(t, n)) for n in _FUNCTION.findall(t) if n in called]
        for t in texts
    ]
    return _digest(f"cpp {ast.dump(tree)} {found} {kinds}")


def triton_key(candidate: Candidate, kernels: Any) -> str:
    """The key of a Triton candidate that was launched; "" where that cannot be told.

    Args:
        candidate: The candidate.
        kernels: What its process says of its kernels (`fitness.diagnostics.loaded`).
    """
    if not isinstance(kernels, list) or not 0 < len(kernels) < _MOST_KERNELS:
        return ""
    found = [k.get("code") if isinstance(k, dict) else None for k in kernels]
    if not all(isinstance(digest, str) and digest for digest in found):
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(candidate.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and _is_jit(node):
            node.body = []
    return _digest(f"triton {ast.dump(tree)} {sorted(map(str, found))}")


class Binaries:
    """The results of what was judged, by key. Callable from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first: dict[str, tuple[int, Evaluation]] = {}
        self._asked: set[str] = set()

    def adopt(self, kernels: Iterable[Kernel]) -> None:
        """Take what an earlier session of the run judged."""
        for kernel in kernels:
            with self._lock:
                self._asked.add(kernel.candidate.digest)
            self._keep(kernel.number, kernel.evaluation)

    def known(self, candidate: Candidate) -> frozenset[str]:
        """The keys that a candidate may have its result for.

        None for a text that was asked for before: it is to be measured again.
        """
        with self._lock:
            again = candidate.digest in self._asked
            self._asked.add(candidate.digest)
            return frozenset() if again else frozenset(self._first)

    def settled(
        self, candidate: Candidate, answer: Evaluation | Repeat, *, kept: bool = True
    ) -> Evaluation:
        """A judge's answer as an evaluation: its own, or the one that stands for its key.

        Args:
            candidate: The candidate.
            answer: On it.
            kept: Whether an evaluation of its own may stand for its key from now on.
        """
        if isinstance(answer, Evaluation):
            if kept:
                self._keep(candidate.number, answer)
            return answer
        with self._lock:
            number, first = self._first[answer.key]
        return replace(
            first,
            build_s=answer.build_s,
            run_s=answer.run_s,
            device_s=0.0,
            details={**first.details, SAME: number},
        )

    def _keep(self, number: int, evaluation: Evaluation) -> None:
        key = evaluation.details.get(KEY)
        if key and SAME not in evaluation.details and evaluation.outcome not in _NOT_GIVEN:
            with self._lock:
                self._first.setdefault(key, (number, evaluation))


def _is_jit(node: ast.FunctionDef) -> bool:
    """Whether Triton compiles a function: the last decorator, next to it, is `triton.jit`."""
    if not node.decorator_list:
        return False
    last = node.decorator_list[-1]
    last = last.func if isinstance(last, ast.Call) else last
    return ast.unparse(last) in ("triton.jit", "jit")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
