"""The part that candidates' and baselines' processes have in common: prepare, call, time.

Both sides of a pair run this very code, so that whatever it costs cancels in the ratio.
"""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch

# Bytes written between two calls on CUDA, so that a call finds its inputs in device memory and not
# in the second-level cache; at least twice the cache, and what Triton's do_bench writes.
FLUSH_BYTES = 256 << 20
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
    between two events, the second-level cache is flushed before each, and the flush gives the host
    time to launch ahead, so that an event pair shows the device's time unless launching takes
    longer than the flush.
    """

    def __init__(self, device: str) -> None:
        """Prepare for "cpu" or "cuda:0" and the like."""
        self._device = device
        self._flush: torch.Tensor | None = None

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
        event: Any = torch.cuda.Event
        pairs = [(event(enable_timing=True), event(enable_timing=True)) for _ in range(calls)]
        torch.cuda.synchronize()
        for start, end in pairs:
            self._flush.zero_()
            start.record()
            call()
            end.record()
        torch.cuda.synchronize()
        return [start.elapsed_time(end) for start, end in pairs]


def _cpu_batch(call: Call, calls: int) -> float:
    clock = time.perf_counter_ns
    start = clock()
    for _ in range(calls):
        call()
    return (clock() - start) / calls / 1e6
