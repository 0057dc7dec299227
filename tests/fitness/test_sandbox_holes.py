"""Memory that a process has free inside of its heap, given out before it is copied."""

import json
import subprocess
import sys
from pathlib import Path

from fitness.sandbox.zygote import MALLOC

_PROGRAM = """
import ctypes, json, sys
from fitness.sandbox import holes
from fitness.sandbox.holes import _areas

libc = ctypes.PyDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
libc.free.restype, libc.free.argtypes = None, (ctypes.c_void_p,)
sizes = [24, 100, 700, 5000, 40_000, 300_000]
kept = [[libc.malloc(size) for size in sizes] for _ in range(200)]
objects = [[bytes(size) for size in (8, 60, 200, 400)] for _ in range(3000)]
for group in kept[::2]:
    for place in group:
        libc.free(place)
del objects[::2]
before = _areas()
last = max(max(group) for group in kept)
holes.fill()
places = [libc.malloc(size) for size in sizes]
small = [bytes(size) for size in (8, 60, 200, 400) for _ in range(100)]
inside = sum(any(start <= id(one) < stop for start, stop in zip(*before)) for one in small)
print(json.dumps([min(places) > last, inside]))
"""


def _run(program, environment):
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        check=True,
        text=True,
    )
    return json.loads(done.stdout)


def test_what_is_allocated_afterwards_lies_behind_all_that_was_there():
    behind, inside = _run(_PROGRAM, MALLOC)
    assert behind
    # Of 400; what the program itself frees meanwhile comes again.
    assert inside < 20


def test_where_large_pieces_are_mapped_one_by_one_nothing_is_given_out_without_end():
    program = (
        "import resource; from fitness.sandbox import holes; "
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; holes.fill(); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    grown_kb = _run(program, {})
    assert grown_kb < 40_000


_LARGE = """
import json, pathlib, re
from fitness.sandbox import pages

def large():
    text = pathlib.Path("/proc/self/smaps_rollup").read_text()
    return int(re.search(r"AnonHugePages: +(\\d+)", text)[1])

with pages.large_heap(32 << 20):
    inside = bytearray(24 << 20)
    found = [large()]
found.append(large())
outside = bytearray(64 << 20)
print(json.dumps([*found, large()]))
"""


def test_what_is_first_touched_inside_lies_in_large_pages():
    inside, left, beside = _run(_LARGE, MALLOC)
    when = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    enabled = when.read_text(encoding="ascii") if when.exists() else "[never]"
    # Of 24 MiB, at most one large page at each end is not whole; in kB.
    assert inside >= 20 << 10 if "[never]" not in enabled else not inside
    assert left == inside
    assert beside == inside or "[always]" in enabled
