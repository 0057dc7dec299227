"""What constraints on launch parameters may say of the device: numbers, by name.

The names are those of `populations.constraints.FACTS`. They are asked for once per run and kept
with it, so that a run that is grown again elsewhere has the same points.
"""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fitness.spec import EvaluationSpec

# Instruction sets -> bytes of their vector registers, the widest first.
_VECTORS = (("avx512f", 64), ("avx", 32), ("sse2", 16), ("asimd", 16))
# A fact -> a property of a CUDA device in torch.
_PROPERTIES = {
    "shared_memory": "shared_memory_per_block_optin",
    "registers": "regs_per_multiprocessor",
    "block_threads": "max_threads_per_block",
    "warp": "warp_size",
    "multiprocessors": "multi_processor_count",
    "l2_bytes": "L2_cache_size",
}
# What every CUDA device since compute capability 2.0 has, where torch does not say.
_BLOCK_THREADS = 1024


def device_facts(spec: EvaluationSpec) -> dict[str, int]:
    """Ask this device; what it does not say is left out.

    On CUDA the process makes a context: call it in one of our own.
    """
    if spec.device == "cpu":
        return _processor(spec)
    import torch

    properties = torch.cuda.get_device_properties(spec.torch_device)
    found = {fact: getattr(properties, name, 0) for fact, name in _PROPERTIES.items()}
    found["block_threads"] = found["block_threads"] or _BLOCK_THREADS
    return {fact: int(value) for fact, value in found.items() if value}


def _processor(spec: EvaluationSpec) -> dict[str, int]:
    found = {"threads": spec.threads, "vector_bytes": _vector_bytes()}
    for fact, name in (("l1_bytes", "SC_LEVEL1_DCACHE_SIZE"), ("l2_bytes", "SC_LEVEL2_CACHE_SIZE")):
        with suppress(OSError, ValueError):
            found[fact] = os.sysconf(name)
    return {fact: value for fact, value in found.items() if value > 0}


def _vector_bytes() -> int:
    words: set[str] = set()
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.lower().startswith(("flags", "features")):
                words = set(line.split())
                break
    known = next((width for name, width in _VECTORS if name in words), 0)
    return known or (16 if platform.machine() in ("x86_64", "aarch64", "arm64") else 0)
