"""Give out the free memory inside of a heap before the process is copied.

What a copy allocates would otherwise come to lie in whatever holes its original has, strewn over
tens of megabytes: each page that it writes to first is copied, each large page falls into small
ones. With the holes given out for good, a copy's memory is new and lies together.
"""

from __future__ import annotations

import ctypes
import gc
from array import array
from bisect import bisect
from pathlib import Path
from typing import Any

from fitness.sandbox import linux

# The C library has a list for each size up to the first, in steps; no hole is larger than the last.
_LISTED_BYTES, _LARGEST_BYTES = 1040, 1 << 24
_STEP_BYTES = 16
# Chunks that it keeps for a quick answer count as in use: not more than so much of them.
_QUICK_BYTES = 1 << 20
# What Python's own allocator serves, and what its arenas have free at most.
_SMALL_BYTES, _MOST_SMALL_BYTES = 512, 1 << 24


class _Heap(ctypes.Structure):
    """What `mallinfo2` tells; the fields of interest have names of their own."""

    _fields_ = (
        *((f"_{number}", ctypes.c_size_t) for number in range(8)),
        ("free_bytes", ctypes.c_size_t),
        ("last_bytes", ctypes.c_size_t),
    )


def fill() -> None:
    """Give out every hole of the C library's heap and of Python's, for good.

    To be called with one thread, behind `gc.freeze`: the collector looks at all the rest. Does
    nothing to a heap whose library does not tell of it.
    """
    # Freed tuples, lists and dicts are kept for a quick answer, wherever they lie.
    # A full collection gives them back.
    gc.collect()
    _fill_heap()
    _fill_arenas()


def _fill_heap() -> None:
    libc = linux.c_heap()
    if not hasattr(libc, "mallinfo2"):
        return
    malloc, free = libc.malloc, libc.free
    libc.mallinfo2.restype = _Heap
    heap = libc.mallinfo2()
    left = heap.free_bytes - heap.last_bytes + _QUICK_BYTES
    # Larger than any hole: it lies behind them all.
    end = malloc(_LARGEST_BYTES) or 0
    free(end)
    size = _LARGEST_BYTES
    while size >= _STEP_BYTES and left > 0:
        place = malloc(size)
        if place and place < end:
            left -= size
            continue
        free(place)
        size = size // 2 if size > 2 * _LISTED_BYTES else size - _STEP_BYTES


def _fill_arenas() -> None:
    allocate: Any = ctypes.pythonapi.PyObject_Malloc
    allocate.restype, allocate.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    starts, stops = _areas()
    left = _MOST_SMALL_BYTES
    # The largest first: it takes all pools that are free, whatever their size was.
    size = _SMALL_BYTES
    while size > 0 and left > 0:
        place = allocate(size) or 0
        at = bisect(starts, place) - 1
        if at >= 0 and place < stops[at]:
            left -= size
        else:
            size -= _STEP_BYTES


def _areas() -> tuple[array[int], array[int]]:
    """Where the areas of this process start and stop, in order."""
    # As arrays: objects of their own would lie in the holes, and leave them again.
    starts, stops = array("Q"), array("Q")
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        start, stop = line.split(maxsplit=1)[0].split("-")
        starts.append(int(start, 16))
        stops.append(int(stop, 16))
    return starts, stops
