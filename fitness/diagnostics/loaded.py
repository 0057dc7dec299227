"""What Triton's compiled kernels say of themselves; runs in the candidate's process.

Triton keeps what it compiled in its functions; a launched kernel knows its registers and spills
from the driver. Nothing is launched or compiled here. What is answered is data from a process that
is not believed: see `fitness.diagnostics.resources`.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

_MOST = 16
_NAME_LENGTH = 120
_CONSTANTS = 12
# Instructions of PTX that tell how a kernel works -> what they are called.
_MARKS = (
    ("wgmma", re.compile(r"\bwgmma\.mma_async")),
    ("tcgen05", re.compile(r"\btcgen05\.mma")),
    ("mma", re.compile(r"\bmma\.sync")),
    ("tma", re.compile(r"\bcp\.async\.bulk\.tensor")),
    ("async_copies", re.compile(r"\bcp\.async\.c[ag]")),
    ("barriers", re.compile(r"\bbar(?:rier)?\.sync")),
    ("atomics", re.compile(r"\b(?:atom|red)\.global")),
)
# What PTX says of the source: comments, lines, tables for debuggers.
_REMARK = re.compile(r"//[^\n]*")
_DEBUG_SECTION = re.compile(r"\.section\s+\.debug\w*\s*\{[^}]*\}")
_DEBUG_LINE = re.compile(r"\s*(?:\.loc\b|\.file\b|\$L__(?:tmp|func)\w*:)")
_ACCESS = re.compile(r"\b(ld|st)\.global[\w.:]*?(?:\.v([248]))?\.[bfus](8|16|32|64|128)\b")


def kernels(module: ModuleType) -> list[dict[str, Any]]:
    """Every kernel that functions of a module were compiled to, JSON-able.

    Args:
        module: The candidate's.

    Returns:
        One dictionary each: `name`, `registers`, `spills` (32-bit words a thread), `shared_bytes`,
        `num_warps`, `num_stages`, `constants`, `code` (a digest) and what its PTX shows. Empty
        without Triton.
    """
    if "triton" not in sys.modules:
        return []
    found = []
    for function in _functions(module):
        for cache in _caches(function):
            for kernel in list(cache.values())[:_MOST]:
                if (facts := _facts(kernel)) is not None and facts not in found:
                    found.append(facts)
    return found[:_MOST]


def _functions(module: ModuleType) -> Iterator[Any]:
    """Triton's functions among a module's names, behind autotuners and heuristics."""
    for value in list(vars(module).values()):
        within = value
        for _ in range(8):
            if hasattr(within, "device_caches"):
                yield within
                break
            # An autotuner and a heuristic hold the function, or one another, under this name.
            if not type(within).__module__.startswith("triton."):
                break
            within = getattr(within, "fn", None)


def _caches(function: Any) -> Iterator[Mapping[Any, Any]]:
    for entry in list(function.device_caches.values()):
        cache = entry[0] if isinstance(entry, tuple) and entry else entry
        if isinstance(cache, Mapping):
            yield cache


def _facts(kernel: Any) -> dict[str, Any] | None:
    metadata = getattr(kernel, "metadata", None)
    if metadata is None:
        return None
    facts: dict[str, Any] = {
        "name": str(getattr(kernel, "name", ""))[:_NAME_LENGTH],
        "registers": _count(getattr(kernel, "n_regs", None)),
        "spills": _count(getattr(kernel, "n_spills", None)),
        "shared_bytes": _count(getattr(metadata, "shared", None)),
        "num_warps": _count(getattr(metadata, "num_warps", None)),
        "num_stages": _count(getattr(metadata, "num_stages", None)),
        "constants": _constants(getattr(kernel, "src", None)),
    }
    text = getattr(kernel, "asm", {}).get("ptx")
    if not isinstance(text, str):
        return facts
    return {**facts, **_of_ptx(text), "code": code(text, metadata)}


def code(text: str, metadata: Any) -> str:
    """Digest of all that the driver is given, but for where in the source it comes from.

    The cubin itself is another one for every line that its kernel is moved by.
    """
    bare = _DEBUG_SECTION.sub("", _REMARK.sub("", text))
    lines = [line.strip() for line in bare.splitlines() if not _DEBUG_LINE.match(line)]
    facts: dict[str, Any] = getattr(metadata, "_asdict", dict)()
    told = sorted((str(k), repr(v)) for k, v in facts.items() if k != "hash")
    return hashlib.sha256(f"{[*filter(None, lines)]} {told}".encode()).hexdigest()


def _of_ptx(text: str) -> dict[str, int]:
    """How often telling instructions stand in PTX, and the widest accesses to global memory."""
    facts = {name: len(pattern.findall(text)) for name, pattern in _MARKS}
    facts = {name: number for name, number in facts.items() if number}
    for kind, name in (("ld", "load_bytes"), ("st", "store_bytes")):
        sizes = [int(n or 1) * int(b) // 8 for k, n, b in _ACCESS.findall(text) if k == kind]
        if sizes:
            facts[name] = max(sizes)
    return facts


def _constants(source: Any) -> dict[str, int]:
    """Values of `tl.constexpr` parameters by name, as far as they are integers."""
    names = getattr(getattr(source, "fn", None), "arg_names", ())
    found = {}
    for key, value in dict(getattr(source, "constants", None) or {}).items():
        place = key[0] if isinstance(key, tuple) and key else key
        name = names[place] if isinstance(place, int) and place < len(names) else place
        if isinstance(name, str) and isinstance(value, int) and not isinstance(value, bool):
            found[name] = value
    return dict(list(found.items())[:_CONSTANTS])


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None
