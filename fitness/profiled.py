"""Profile some calls in the candidate's process: what ran, how often, for how long.

On CUDA it is the device's own record of kernels. On the CPU it is torch's record of its operators,
with the time inside of `load_cpp` functions measured beside it. What is answered is data: the judge
classifies it (`fitness.profile`), and believes it as little as anything else from here.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from fitness import native
from fitness.bench import synchronise
from fitness.exchange import TensorSpec, fresh, private_mapping, total_bytes, unflatten, views

# Names that an answer holds at most, the longest-running first.
_NAMES = 128
_NAME_LENGTH = 240
# Calls that one goes before.
_FEW = 5
# Launches that a trace holds at most, and what is kept of each.
_LAUNCHES = 256
_OF_A_LAUNCH = frozenset(
    ("registers per thread", "shared memory", "blocks per SM", "est. achieved occupancy %")
)


def profile_calls(
    model: Callable[..., Any], question: Mapping[str, Any], descriptor: int, device: str
) -> dict[str, Any]:
    """Call a model a few times under the profiler.

    Args:
        model: The candidate.
        question: `tree` and `specs` of the inputs, `calls`, and whether to `trace`.
        descriptor: Sealed memory with the inputs; closed here.
        device: As torch names it.

    Returns:
        `events`, lists of name, count and microseconds, for all calls together; on the CPU also
        `own_us`, None when no function of `load_cpp` was called, and `wall_us`. Where a trace is
        wanted and to be had, on CUDA, `trace` has every launch as Chrome's format has it.
    """
    specs = [TensorSpec.from_json(s) for s in question["specs"]]
    originals = views(private_mapping(descriptor, total_bytes(specs)), specs)
    os.close(descriptor)
    tensors = [fresh(v, s, device) for v, s in zip(originals, specs, strict=True)]
    arguments = unflatten(question["tree"], tensors)
    calls = int(question["calls"])

    def repeat() -> None:
        with torch.no_grad():
            for _ in range(calls):
                model(*arguments)
        synchronise(device)

    # What a first call compiles, or allocates for good, is no part of the others. Where single
    # calls are short it takes more until they are as fast as they were when they were timed.
    with torch.no_grad():
        for _ in range(calls if calls > _FEW else 1):
            model(*arguments)
    synchronise(device)
    found = _on_cpu(repeat) if device == "cpu" else _on_cuda(repeat, bool(question.get("trace")))
    events = sorted(found["events"], key=lambda e: -e[2])[:_NAMES]
    return {**found, "events": [[n[:_NAME_LENGTH], c, us] for n, c, us in events]}


def _on_cpu(repeat: Callable[[], None]) -> dict[str, Any]:
    # Kineto takes seconds to get ready; torch's older record of its own operators does not.
    clock = _Clock()
    with torch.autograd.profiler.profile(use_kineto=False) as record:
        sys.setprofile(clock)
        start = time.perf_counter()
        try:
            repeat()
            wall_us = (time.perf_counter() - start) * 1e6
        finally:
            sys.setprofile(None)
    events = [(e.key, e.count, e.self_cpu_time_total) for e in record.key_averages()]
    return {"events": events, "own_us": clock.own_us if clock.calls else None, "wall_us": wall_us}


def _on_cuda(repeat: Callable[[], None], trace: bool) -> dict[str, Any]:
    from torch.autograd import DeviceType  # type: ignore[attr-defined]
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as record:
        repeat()
    events = [
        (e.key, e.count, e.self_device_time_total)
        for e in record.key_averages()
        if e.device_type == DeviceType.CUDA
    ]
    found: dict[str, Any] = {"events": events}
    if trace:
        # Torch's own class tells no grid and no registers.
        with suppress(Exception), tempfile.NamedTemporaryFile(suffix=".json") as file:
            record.export_chrome_trace(file.name)
            found["trace"] = {"traceEvents": launches(json.loads(Path(file.name).read_bytes()))}
    return found


def launches(trace: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The launches in a Chrome trace of torch's profiler, with what is of use of them."""
    kernels = [e for e in trace["traceEvents"] if e.get("cat") == "kernel"]
    return [
        {
            "cat": "kernel",
            "name": str(e.get("name"))[:_NAME_LENGTH],
            "dur": e.get("dur"),
            "args": {k: v for k, v in e.get("args", {}).items() if k in _OF_A_LAUNCH},
        }
        for e in kernels[:_LAUNCHES]
    ]


class _Clock:
    """A profile function of Python's: the time inside of functions that `load_cpp` made."""

    def __init__(self) -> None:
        self.own_us = 0.0
        self.calls = 0
        self._inside: FrameType | None = None
        self._start = 0.0

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            if self._inside is None and _is_bound(frame):
                self._inside = frame
                self._start = time.perf_counter()
        elif event == "return" and frame is self._inside:
            self.own_us += (time.perf_counter() - self._start) * 1e6
            self.calls += 1
            self._inside = None


def _is_bound(frame: FrameType) -> bool:
    code = frame.f_code
    if code.co_filename == "<string>":
        # Written by the loader for one function's signature.
        return code.co_name == "call" and "function" in frame.f_globals
    return code.co_filename == native.__file__ and code.co_name == "<lambda>"
