"""The ceilings of a CUDA device: copies, matrix products and the shortest launch, by events."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch

from fitness.ceilings import Ceilings, Level

if TYPE_CHECKING:
    from fitness.spec import EvaluationSpec

_MEMORY_BYTES = 1 << 30
_COPIES = 12
_L2_REPEATS = 64
_PRODUCTS = 8
# Edge of the matrices: large enough for every multiprocessor, float64 and float32 being slow.
_EDGES = {"float16": 8192, "bfloat16": 8192, "tf32": 8192, "float32": 4096, "float64": 4096}
_LAUNCHES = 200


def measure(spec: EvaluationSpec) -> Ceilings:
    """Measure on the spec's device; takes some tenths of a second after the context is made."""
    device = spec.torch_device
    facts: Any = torch.cuda.get_device_properties(device)
    cache = float(facts.L2_cache_size)
    memory = max(_copied(_memory_bytes(device), device, 1), _theoretical(facts))
    near = max(_copied(int(cache) // 4, device, _L2_REPEATS), memory)
    flops = {}
    for name, edge in _EDGES.items():
        with suppress(RuntimeError):
            flops[name] = _product(name, edge, device)
    torch.cuda.empty_cache()
    levels = (Level("L2", cache, near), Level("memory", math.inf, memory))
    return Ceilings(facts.name, levels, flops, _launch_ms(device))


def _memory_bytes(device: str) -> int:
    free: Any = torch.cuda.mem_get_info(device)
    return min(_MEMORY_BYTES, int(free[0]) // 8)


def _theoretical(facts: Any) -> float:
    """Bytes per second of the memory's pins, where torch tells clock (kHz) and width (bits)."""
    clock = getattr(facts, "memory_clock_rate", 0)
    width = getattr(facts, "memory_bus_width", 0)
    return 2.0 * 1e3 * clock * width / 8


def _copied(nbytes: int, device: str, repeats: int) -> float:
    """Bytes read and written per second, at best, of reading and of copying `nbytes`."""
    source = torch.zeros(nbytes // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)

    def copies() -> None:
        for _ in range(repeats):
            target.copy_(source)

    def reads() -> None:
        for _ in range(repeats):
            torch.sum(source)

    written = 2.0 * nbytes * repeats / _best_s(copies, _COPIES)
    return max(written, float(nbytes) * repeats / _best_s(reads, _COPIES))


def _product(name: str, edge: int, device: str) -> float:
    dtype = torch.float32 if name == "tf32" else getattr(torch, name)
    left = torch.randn(edge, edge, device=device).to(dtype)
    with _tf32(name == "tf32"):
        return 2.0 * edge**3 / _best_s(lambda: torch.mm(left, left), _PRODUCTS)


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _best_s(work: Callable[[], Any], trials: int) -> float:
    event: Any = torch.cuda.Event
    start, end = event(enable_timing=True), event(enable_timing=True)
    work()
    best_ms = math.inf
    for _ in range(trials):
        torch.cuda.synchronize()
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        best_ms = min(best_ms, start.elapsed_time(end))
    return best_ms / 1e3


def _launch_ms(device: str) -> float:
    """The time between two events with one small kernel between them, launched well ahead."""
    event: Any = torch.cuda.Event
    idle: Any = torch.cuda._sleep  # noqa: SLF001 - no public one
    small = torch.zeros(1, device=device)
    pairs = [(event(enable_timing=True), event(enable_timing=True)) for _ in range(_LAUNCHES)]
    for _ in range(2):
        torch.cuda.synchronize()
        # The device waits, so that the host is ahead of it and its own pace is not seen.
        idle(20_000_000)
        for start, end in pairs:
            start.record()
            small.zero_()
            end.record()
        torch.cuda.synchronize()
    # A low one of many, not the lowest: the resolution of an event is half a microsecond.
    times: list[float] = [start.elapsed_time(end) for start, end in pairs]
    return statistics.quantiles(times, n=20)[0]
