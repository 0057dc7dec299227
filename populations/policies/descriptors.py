"""What kind of kernel a kernel is: facts of its record, each sorted into a few bins.

A descriptor is a function of a kernel that passed; its answer is the name of a bin. All of them
take any record: what was not found out about a kernel has a bin of its own, or is read off the
source.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from populations.kernel import Kernel
from populations.parameters import values
from populations.policies.arrays import array_bytes

Descriptor = Callable[[Kernel], str]
UNKNOWN = "unknown"

# Upper ends of bins; what is above the last has a bin of its own. A block with at most 48 KiB of
# shared memory fits on any device, one with 100 KiB fits twice on recent ones.
_SHARED_KIB = (0, 16, 48, 100)
_CACHED_KIB = (0, 32, 512, 4096)
_TILE = (1 << 8, 1 << 12, 1 << 16)
_LAUNCHES = (0, 1, 2, 4)
_LINES = (40, 80, 160, 320)
_TILE_NAME = re.compile(r"BLOCK|TILE", re.IGNORECASE)
_PARALLEL = re.compile(r"^\s*#\s*pragma\s+omp\s+(?:target\s+)?parallel\b", re.MULTILINE)
_COMMENT = re.compile(r"\s*(?:#(?!\s*(?:pragma|define|include|if|else|endif|undef))|//|$)")


def bottleneck(kernel: Kernel) -> str:
    """What it waits for, as the diagnostics say: "memory", "launch", "scalar", ..."""
    kind = _mapping(_diagnostics(kernel).get("bottleneck")).get("kind")
    return kind if isinstance(kind, str) and kind else UNKNOWN


def memory(kernel: Kernel) -> str:
    """Memory per block: shared memory of the kernel that asks for most, KiB.

    Of C++ the arrays of its own, in KiB by levels of cache. Of others, where the compiler was not
    asked, the elements of a tile: the product of the launch parameters whose names say BLOCK or
    TILE.
    """
    found = _diagnostics(kernel).get("kernels")
    sizes = [_mapping(k).get("shared_bytes") for k in (found if isinstance(found, list) else ())]
    known = [size for size in sizes if isinstance(size, int)]
    if known:
        return _bin(max(known) / 1024, _SHARED_KIB, " KiB")
    if kernel.candidate.language == "cpp":
        return _bin(array_bytes(kernel.source) / 1024, _CACHED_KIB, " KiB")
    tile = [
        value
        for name, value in values(kernel.source).items()
        if _TILE_NAME.search(name) and isinstance(value, int) and not isinstance(value, bool)
    ]
    return _bin(prod(tile), _TILE, " elements") if tile else UNKNOWN


def launches(kernel: Kernel) -> str:
    """How often a call starts something: kernels launched, or parallel regions of C++.

    Places in the source: a profiler counts for elites alone, and of what kind a kernel is must not
    hang on how good it was when it came.
    """
    if kernel.candidate.language == "cpp":
        return _bin(len(_PARALLEL.findall(kernel.source)), _LAUNCHES)
    try:
        tree = ast.parse(kernel.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return UNKNOWN
    started = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and _is_launch(n)]
    return _bin(len(started), _LAUNCHES)


def language(kernel: Kernel) -> str:
    """What it is written in."""
    return kernel.candidate.language


def size(kernel: Kernel) -> str:
    """Lines of code, without blank ones and comments."""
    lines = [line for line in kernel.source.splitlines() if not _COMMENT.match(line)]
    return _bin(len(lines), _LINES, " lines")


# By the names that experiment files use.
DESCRIPTORS: Mapping[str, Descriptor] = {
    "bottleneck": bottleneck,
    "memory": memory,
    "launches": launches,
    "language": language,
    "size": size,
}
NAMES = tuple(DESCRIPTORS)


def _bin(value: float, ends: Sequence[int], unit: str = "") -> str:
    place = bisect_left(ends, value)
    return f"at most {ends[place]}{unit}" if place < len(ends) else f"above {ends[-1]}{unit}"


def _is_launch(call: ast.Call) -> bool:
    """Whether it is `kernel[grid](...)`."""
    return isinstance(call.func, ast.Subscript) and isinstance(
        call.func.value, ast.Name | ast.Attribute
    )


def _diagnostics(kernel: Kernel) -> Mapping[str, Any]:
    return _mapping(kernel.evaluation.details.get("diagnostics"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
