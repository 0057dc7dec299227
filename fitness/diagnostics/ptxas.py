"""Resource figures of CUDA C++ kernels from what `ptxas -v` and `cuobjdump -res-usage` print."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

_COMPILING = re.compile(r"Compiling entry function '([^']+)' for '(sm_\w+)'")
_PROPERTIES = re.compile(r"Function properties for (\S+)")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+)(?:\+\d+)? bytes smem")
_BARRIERS = re.compile(r"used (\d+) barriers")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_SERIALISED = re.compile(r"(wgmma\.mma_async instructions are serialized[^\n]*)")
_RES_FUNCTION = re.compile(r"^\s*Function (\S+?):?\s*$")
_RES = re.compile(r"REG:(\d+)\s+STACK:(\d+)\s+SHARED:(\d+)\s+LOCAL:(\d+)")
_NAME_LENGTH = 60


def parse_verbose(text: str) -> list[dict[str, Any]]:
    """Kernels in what `ptxas -v` (or `nvcc -Xptxas -v`) wrote.

    Returns:
        One dictionary for each kernel and architecture: `name` (mangled), `architecture`,
        `registers`, `shared_bytes`, `stack_bytes`, `spill_store_bytes`, `spill_load_bytes`,
        `spills` (32-bit words a thread), `remarks`; what is not said is missing.
    """
    kernels: list[dict[str, Any]] = []
    # Device functions that were not inlined report a stack of their own.
    within = ""
    for line in text.splitlines():
        if match := _COMPILING.search(line):
            kernels.append({"name": match[1], "architecture": match[2]})
            within = match[1]
        elif match := _PROPERTIES.search(line):
            within = match[1]
        elif not kernels:
            continue
        elif (match := _STACK.search(line)) and within == kernels[-1]["name"]:
            stack, stores, loads = map(int, match.groups())
            kernels[-1] |= {
                "stack_bytes": stack,
                "spill_store_bytes": stores,
                "spill_load_bytes": loads,
                "spills": max(stores, loads) // 4,
            }
        elif match := _USED.search(line):
            kernels[-1]["registers"] = int(match[1])
            kernels[-1]["shared_bytes"] = int(s[1]) if (s := _SHARED.search(line)) else 0
            if found := _BARRIERS.search(line):
                kernels[-1]["barriers"] = int(found[1])
        elif match := _SERIALISED.search(line):
            kernels[-1].setdefault("remarks", []).append(match[1])
    return kernels


def parse_usage(text: str) -> list[dict[str, Any]]:
    """Kernels in what `cuobjdump -res-usage` wrote: `name`, `registers`, `shared_bytes`, ..."""
    kernels: list[dict[str, Any]] = []
    name = ""
    for line in text.splitlines():
        if match := _RES_FUNCTION.match(line):
            name = match[1]
        elif match := _RES.search(line):
            registers, stack, shared, local = map(int, match.groups())
            kernels.append(
                {
                    "name": name,
                    "registers": registers,
                    "stack_bytes": stack,
                    "shared_bytes": shared,
                    "local_bytes": local,
                }
            )
    return kernels


def readable(kernels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with names as they stand in the source, where `c++filt` is there to tell them."""
    program = shutil.which("c++filt")
    if program is None or not kernels:
        return kernels
    names = "\n".join(str(k["name"]) for k in kernels)
    done = subprocess.run(
        [program], input=names, capture_output=True, text=True, timeout=10, check=False
    )
    plain = done.stdout.splitlines()
    if done.returncode or len(plain) != len(kernels):
        return kernels
    return [
        {**k, "name": n.partition("(")[0].removeprefix("void ")[:_NAME_LENGTH]}
        for k, n in zip(kernels, plain, strict=True)
    ]
