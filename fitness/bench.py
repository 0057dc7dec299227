"""The part that candidates' and baselines' processes have in common: prepare, call, time.

Both sides of a pair run this very code, so that whatever it costs cancels in the ratio.
"""

from __future__ import annotations

import gc
import time
import warnings
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch

# Bytes written between two calls on CUDA, so that a call finds its inputs in device memory and not
# in the second-level cache; at least twice the cache, and what Triton's do_bench writes.
FLUSH_BYTES = 256 << 20
# The host's lead over the device: what launching is taken for at first, per call, by how much more
# than it took last time the device is held back, how often this is tried (a call that waits for
# the device has no lead however long it is held back), and how long at most, per batch.
_FIRST_LAUNCH_MS = 0.2
_LEAD_MARGIN = 1.5
_LEADS = 3
_MOST_LEAD_MS = 50.0
Call = Callable[[], Any]


def prepare(settings: Mapping[str, Any]) -> None:
    """Set torch up in a fresh process.

    Args:
        settings: `threads`, `tf32` and `device` of the `EvaluationSpec`, device as torch names it.
    """
    torch.set_num_threads(settings["threads"])
    if settings["device"] != "cpu":
        torch.cuda.set_device(settings["device"])
        with warnings.catch_warnings():
            # The flags have had two generations of names; the old ones work in all versions.
            warnings.simplefilter("ignore")
            torch.backends.cuda.matmul.allow_tf32 = settings["tf32"]
            torch.backends.cudnn.allow_tf32 = settings["tf32"]


def settings_of(spec: Any) -> dict[str, Any]:
    """The settings that `prepare` takes, from an `EvaluationSpec`; JSON-able."""
    return {"threads": spec.threads, "tf32": spec.tf32, "device": spec.torch_device}


def synchronise(device: str) -> None:
    """Wait for the device; errors of earlier launches surface here."""
    if device != "cpu":
        torch.cuda.synchronize()


class Stopwatch:
    """Times calls in this process.

    On the CPU a batch of calls is timed as a whole: the clock's resolution and the loop disappear
    in it, and inputs are warm in the cache, for both sides of a pair. On CUDA every call lies
    between two events and the second-level cache is flushed before each. The device is held back
    until the host has launched the whole batch, so that an event pair shows the device's time:
    launching a compiled module of several kernels takes longer than running them, on a busy host
    by a factor that has nothing to do with the kernels.
    """

    def __init__(self, device: str) -> None:
        """Prepare for "cpu" or "cuda:0" and the like."""
        self._device = device
        self._flush: torch.Tensor | None = None
        self._cycles_per_ms = 0.0
        # What launching one call took at most lately, by call: batches of several subjects
        # alternate in the baselines' process.
        self._launch_ms: weakref.WeakKeyDictionary[Call, float] = weakref.WeakKeyDictionary()

    def batch(self, call: Call, calls: int, settle_ms: float) -> list[float]:
        """Call until `settle_ms` have passed, at least once unless 0; then time `calls` calls.

        Returns:
            Milliseconds per call: one mean on the CPU, one number per call on CUDA; 0 for no call.
        """
        with torch.no_grad():
            if settle_ms:
                self._settle(call, settle_ms)
            if not calls:
                return [0.0]
            gc.disable()
            try:
                if self._device == "cpu":
                    return [_cpu_batch(call, calls)]
                return self._cuda_batch(call, calls)
            finally:
                gc.enable()

    def _settle(self, call: Call, settle_ms: float) -> None:
        end = time.perf_counter_ns() + int(settle_ms * 1e6)
        while True:
            call()
            synchronise(self._device)
            if time.perf_counter_ns() >= end:
                return

    def _cuda_batch(self, call: Call, calls: int) -> list[float]:
        if self._flush is None:
            cache = torch.cuda.get_device_properties(self._device).L2_cache_size
            size = max(2 * cache, FLUSH_BYTES)
            self._flush = torch.empty(size, dtype=torch.int8, device=self._device)
            self._cycles_per_ms = _cycles_per_ms()
        flush = self._flush
        lead_ms = self._launch_ms.get(call, _FIRST_LAUNCH_MS) * calls
        for _ in range(_LEADS):
            held_ms = min(_LEAD_MARGIN * lead_ms, _MOST_LEAD_MS)
            times, late_ms = self._held_back(call, calls, flush, held_ms)
            if not late_ms:
                break
            lead_ms = max(late_ms, 2 * lead_ms)
        return times

    def _held_back(
        self, call: Call, calls: int, flush: torch.Tensor, lead_ms: float
    ) -> tuple[list[float], float]:
        """Time a batch behind `lead_ms` of idling; also what launching took if that was longer."""
        event: Any = torch.cuda.Event
        pairs = [(event(enable_timing=True), event(enable_timing=True)) for _ in range(calls)]
        begun = event()
        torch.cuda.synchronize()
        clock = time.perf_counter_ns()
        _idle(int(lead_ms * self._cycles_per_ms))
        begun.record()
        for start, end in pairs:
            flush.zero_()
            start.record()
            call()
            end.record()
        late = begun.query()
        launch_ms = (time.perf_counter_ns() - clock) / 1e6
        torch.cuda.synchronize()
        self._launch_ms[call] = launch_ms / calls
        return [start.elapsed_time(end) for start, end in pairs], launch_ms if late else 0.0


def _idle(cycles: int) -> None:
    """Keep the device's queue busy with nothing, for so many of its cycles."""
    idle: Any = torch.cuda._sleep  # noqa: SLF001 - there is no public one
    idle(cycles)


def _cycles_per_ms() -> float:
    """How many cycles the device idles for a millisecond, measured."""
    event: Any = torch.cuda.Event
    cycles, start, end = 1_000_000, event(enable_timing=True), event(enable_timing=True)
    for _ in range(2):
        start.record()
        _idle(cycles)
        end.record()
        torch.cuda.synchronize()
    return float(cycles / start.elapsed_time(end))


def _cpu_batch(call: Call, calls: int) -> float:
    clock = time.perf_counter_ns
    start = clock()
    for _ in range(calls):
        call()
    return (clock() - start) / calls / 1e6
