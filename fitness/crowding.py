"""A device whose memory others hold: nobody is judged by what it lacks for that reason.

Whoever holds the memory may have ended by the time somebody looks: a greedy kernel that fails ends
at once, and takes its neighbours along. So a candidate that lacked memory is judged again, while
no other candidate is alive, before anything is made of it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeGuard, TypeVar

import torch

from fitness.lease import DeviceLease
from populations.errors import WorkerError
from populations.outcome import Evaluation

# Less than this free, and this share of the device: a kernel of ordinary size may not fit.
_CROWDED_BYTES = 8 << 30
_CROWDED_SHARE = 0.1
_WORDS = "out of memory"
# How long a process that has ended may take to give its memory back, and how often to look.
_PATIENCE_S = 2.0
_POLL_S = 0.1
JUDGED_AGAIN = "judged_again"
"""In an evaluation's details: what the candidate lacked memory for while others were alive."""
Result = TypeVar("Result")


def ran_out(error: BaseException) -> bool:
    """Whether memory was lacking, of the device or of the host."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or _WORDS in str(error).lower()


def with_room(
    device: str, memory: DeviceLease, judged: Callable[[], Evaluation | Result]
) -> Evaluation | Result:
    """Judge a candidate among others, and once more alone where it lacks the device's memory.

    Args:
        device: As torch names it.
        memory: Held while a candidate's process lives; not the lease of the device, which goes
            from hand to hand while all of them live.
        judged: Judges the candidate; its process has ended when this returns.

    Raises:
        WorkerError: Alone it lacks memory too, and others hold it: judges, baselines, strangers.
    """
    if device == "cpu":
        return judged()
    with memory.shared():
        found = judged()
    if not _lacks_memory(found):
        return found
    with memory.exclusive():
        # What this very judge keeps for later is in the way too.
        gc.collect()
        torch.cuda.empty_cache()
        again = judged()
        if _lacks_memory(again) and (error := crowded(device, again.diagnostics)):
            raise error
    if not isinstance(again, Evaluation):
        return again
    lines = found.diagnostics.splitlines()
    return replace(again, details={**again.details, JUDGED_AGAIN: lines[0]})


def _lacks_memory(found: object) -> TypeGuard[Evaluation]:
    return (
        isinstance(found, Evaluation) and not found.passed and _WORDS in found.diagnostics.lower()
    )


def crowded(device: str, text: str) -> WorkerError | None:
    """What to raise in place of a candidate's fault; None where the fault is its own.

    Called when the candidate's process has ended: what is not free then is held by others.

    Args:
        device: As torch names it.
        text: What the candidate failed with.
    """
    if device == "cpu" or _WORDS not in text.lower():
        return None
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        free, total = torch.cuda.mem_get_info(device)
        if free >= min(_CROWDED_BYTES, _CROWDED_SHARE * total):
            return None
        if time.monotonic() >= deadline:
            return no_room(device, "the candidate")
        time.sleep(_POLL_S)


def no_room(device: str, whom: str) -> WorkerError:
    """The one line that says so, and what to do."""
    return WorkerError(
        f"{device} has no memory left for {whom}: run less at once ([evaluation] workers) or leave "
        f"out the largest workloads; --resume goes on"
    )
