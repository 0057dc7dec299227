"""Which device an experiment runs on, found out without importing torch."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
from pathlib import Path
from typing import Literal

from populations.errors import DeviceError

Device = Literal["cpu", "cuda"]


def choose_device(wanted: Literal["auto", "cpu", "cuda"], file: Path) -> Device:
    """Resolve `device = ...`: "auto" is CUDA where a device and a torch built for it are present.

    Args:
        wanted: What the experiment says.
        file: The experiment's file, for messages.

    Raises:
        DeviceError: "cuda" is wanted and missing, or the CPU target lacks a C++ compiler.
    """
    if wanted in ("auto", "cuda"):
        missing = missing_for_cuda()
        if not missing:
            return "cuda"
        if wanted == "cuda":
            raise DeviceError(f'{file}: [target] device = "cuda": {missing}; use "auto" or "cpu"')
    if not compiler():
        named = os.environ.get("CXX")
        missing = f"CXX={named} is none" if named else "none is installed"
        raise DeviceError(
            f'{file}: [target] device = "{wanted}": a C++ compiler is needed, but {missing}; '
            f"install g++ or set CXX to one"
        )
    return "cpu"


def compiler() -> str | None:
    """Path of the C++ compiler, as `fitness.native` chooses it; None without one."""
    from fitness import native

    try:
        return native.compiler()
    except native.CppError:
        return None


def threads(wanted: int) -> int:
    """Number of CPU threads for `threads = ...`: 0 is every core this process may use."""
    return wanted or len(os.sched_getaffinity(0))


def missing_for_cuda() -> str:
    """What keeps CUDA from being used here, in words; empty when nothing does."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no CUDA driver on this machine"
    count = ctypes.c_int(0)
    # cuInit makes no context and leaves nothing behind that a fork could inherit badly.
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or not count:
        return "the CUDA driver finds no device"
    if not _torch_has_cuda():
        return "the installed torch is built without CUDA"
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed (pip install triton, or the extra [cuda])"
    return ""


def _torch_has_cuda() -> bool:
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return False
    version = Path(spec.submodule_search_locations[0]) / "version.py"
    return re.search(r"^cuda\b[^=\n]*= *'\d", version.read_text(), re.MULTILINE) is not None
