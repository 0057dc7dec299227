"""The part that candidates' and baselines' processes have in common: prepare, call, time.

Both sides of a pair run this very code, so that whatever it costs cancels in the ratio.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch

from fitness.exchange import TensorSpec, flatten
from fitness.pace import Answer, Request, Way
from fitness.variation import Contents, look, mix

# Bytes written between two calls on CUDA, so that a call finds its inputs in device memory and not
# in the second-level cache; at least twice the cache, and what Triton's do_bench writes.
FLUSH_BYTES = 256 << 20
# How often a device's clock is read before its cycles are taken for time: until it rises no more.
_FEWEST_READINGS = 5
_MOST_READINGS = 40
_STILL_RISING = 1.02
# A shorter hold tells little about the clock.
_WORTH_READING_MS = 0.1
# Poison is put into memory of at most this size: for more, fresh pages are zero anyway.
_POISON_LIMIT_BYTES = 1 << 30
# CU_LIMIT_PERSISTING_L2_CACHE_SIZE of the driver's API
_PERSISTING_L2_CACHE_SIZE = 6
Call = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Timed:
    """One subject on one workload.

    Attributes:
        call: Calls it on the arguments that `contents` holds; returns its outputs.
        contents: Its inputs.
        outputs: What its outputs are like; memory for them is poisoned before a batch's last call.
    """

    call: Call
    contents: Contents
    outputs: tuple[TensorSpec, ...] = ()


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


def make_context(device: str) -> None:
    """Have a context on the device, Triton's driver where Triton is, and the commonest kernels."""
    if device == "cpu":
        return
    torch.zeros(1).to(device)
    poison([TensorSpec("uint8", (1,))], device)
    if "triton" in sys.modules:
        import triton

        triton.runtime.driver.active.get_current_device()
    synchronise(device)


def seed(number: int, device: str = "") -> None:
    """Seed torch's generators; with `device` "cpu", the one of the CPU."""
    if device == "cpu" or not (torch.version.cuda or torch.version.hip):
        # torch.manual_seed also prepares every kind of device there is, which takes 2 to 5 ms.
        torch.default_generator.manual_seed(number)
    else:
        torch.manual_seed(number)


def synchronise(device: str) -> None:
    """Wait for the device; errors of earlier launches surface here."""
    if device != "cpu":
        torch.cuda.synchronize()


class Stopwatch:
    """Times calls in this process, every call on other contents.

    Every call is timed by itself; its inputs are renewed in between. On the CPU they are warm in
    the cache then, for both sides of a pair. On CUDA every call lies between two events and the
    second-level cache is flushed before each. The device is held back until the host has launched
    the whole batch, so that an event pair shows the device's time: launching a compiled module of
    several kernels takes longer than running them, on a busy host by a factor that has nothing to
    do with the kernels. A batch without any of this is there for the judge's own clock
    (`fitness.timing`).
    """

    def __init__(self, device: str) -> None:
        """Prepare for "cpu" or "cuda:0" and the like."""
        self._device = device
        self._flush: torch.Tensor | None = None
        self._cycles_per_ms = 0.0
        self._left: list[torch.Tensor] = []

    def batch(self, timed: Timed, request: Request) -> Answer:
        """Settle and time a batch, or look at what the last one left."""
        with torch.no_grad():
            if request.sample:
                seen = look(self._left, request.sample)
                return Answer([0.0], samples=tuple(float(v) for s in seen for v in s.tolist()))
            if request.settle_ms:
                self._settle(timed, request)
            if not request.calls:
                return Answer([0.0])
            gc.disable()
            try:
                run = self._cpu_batch if self._device == "cpu" else self._cuda_batch
                return run(timed, request)
            finally:
                gc.enable()

    def _settle(self, timed: Timed, request: Request) -> None:
        end = time.perf_counter_ns() + int(request.settle_ms * 1e6)
        number = request.calls
        while True:
            # The set of the call before: where only sets differ, a timed call has one of its own.
            timed.contents.refresh(request.first - 1, mix(request.secret, number))
            timed.call()
            synchronise(self._device)
            if time.perf_counter_ns() >= end:
                return
            number += 1

    def _cpu_batch(self, timed: Timed, request: Request) -> Answer:
        clock, call, times_ns, result = time.perf_counter_ns, timed.call, [], None
        renew = self._renew
        for number in range(request.calls):
            renew(timed, request, number)
            # Freed first: the next call's outputs may take its place.
            result = None
            start = clock()
            result = call()
            times_ns.append(clock() - start)
        self._left = _copies(result)
        return Answer([t / 1e6 for t in times_ns])

    def _cuda_batch(self, timed: Timed, request: Request) -> Answer:
        if self._flush is None:
            cache = torch.cuda.get_device_properties(self._device).L2_cache_size
            size = max(2 * cache, FLUSH_BYTES)
            self._flush = torch.empty(size, dtype=torch.int8, device=self._device)
            self._cycles_per_ms = _cycles_per_ms()
        event: Any = torch.cuda.Event
        made = [event(enable_timing=True) for _ in range(2 * request.calls)]
        pairs = list(zip(made[::2], made[1::2], strict=True))
        held, begun, result = event(enable_timing=True), event(enable_timing=True), None
        torch.cuda.synchronize()
        _end_persistence()
        clock, cycles = time.perf_counter_ns(), int(request.held_ms * self._cycles_per_ms)
        held.record()
        _idle(cycles)
        begun.record()
        call = timed.call if request.way != Way.EMPTY else _nothing
        for number, (start, end) in enumerate(pairs):
            self._renew(timed, request, number)
            result = None
            if request.way == Way.TIMED:
                self._flush.zero_()
            start.record()
            result = call()
            end.record()
        late = begun.query()
        launch_ms = (time.perf_counter_ns() - clock) / 1e6
        if request.way == Way.EMPTY:
            # What a call leaves is copied: that is no part of the call.
            result = [_bytes(s, self._device) for s in timed.outputs]
        # On the stream of the calls: what another one has not done by now is missing.
        self._left = _copies(result)
        torch.cuda.synchronize()
        if request.held_ms >= _WORTH_READING_MS:
            # A device that rests lowers its clock: what was true before may be so no more.
            self._cycles_per_ms = cycles / held.elapsed_time(begun)
        return Answer([s.elapsed_time(e) for s, e in pairs], launch_ms, late)

    def _renew(self, timed: Timed, request: Request, number: int) -> None:
        """Fill the inputs for a call of a batch; for the last one poison its outputs too."""
        if number < request.calls - 1:
            timed.contents.refresh(request.first + number, mix(request.secret, number))
            return
        # The same for every batch: which of them are looked at is not known here.
        timed.contents.refresh(request.secret, request.secret)
        self._left = []
        poison(timed.outputs, self._device)


def _copies(result: Any) -> list[torch.Tensor]:
    # At once: what another thread or stream has not written by now is missing for good.
    return [t.detach().clone() for t in flatten(result)[1]]


def poison(outputs: Sequence[TensorSpec], device: str) -> None:
    """Leave rubbish in the memory that the next outputs will likely get.

    A kernel that writes only part of its output would otherwise find zeros or, worse, the right
    values of an earlier call there.
    """
    if sum(s.nbytes for s in outputs) > _POISON_LIMIT_BYTES:
        return
    # All of them before any is freed; an allocator goes by sizes alone.
    _ = [_bytes(s, device).fill_(0xFF) for s in outputs]


def _bytes(output: TensorSpec, device: str) -> torch.Tensor:
    return torch.empty(output.nbytes, dtype=torch.uint8, device=device)


def _nothing() -> None:
    pass


def _end_persistence() -> None:
    """Take back what a kernel may have had set aside of the second-level cache for its data."""
    with suppress(OSError, AttributeError):
        driver = ctypes.CDLL("libcuda.so.1")
        driver.cuCtxSetLimit(_PERSISTING_L2_CACHE_SIZE, ctypes.c_size_t(0))
        driver.cuCtxResetPersistingL2Cache()


def _idle(cycles: int) -> None:
    """Keep the device's queue busy with nothing, for so many of its cycles."""
    idle: Any = torch.cuda._sleep  # noqa: SLF001 - there is no public one
    idle(cycles)


def _cycles_per_ms() -> float:
    """How many cycles the device idles for a millisecond, measured once its clock has risen."""
    event: Any = torch.cuda.Event
    cycles, start, end = 1_000_000, event(enable_timing=True), event(enable_timing=True)
    found: list[float] = []
    while len(found) < _MOST_READINGS:
        start.record()
        _idle(cycles)
        end.record()
        torch.cuda.synchronize()
        found.append(cycles / start.elapsed_time(end))
        if len(found) >= _FEWEST_READINGS and found[-1] < _STILL_RISING * min(found[-3:]):
            break
    return found[-1]
