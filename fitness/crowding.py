"""A device whose memory others hold: nobody is judged by what it lacks for that reason."""

from __future__ import annotations

import time

import torch

from populations.errors import WorkerError

# Less than this free, and this share of the device: a kernel of ordinary size may not fit.
_CROWDED_BYTES = 8 << 30
_CROWDED_SHARE = 0.1
_WORDS = "out of memory"
# How long a process that has ended may take to give its memory back, and how often to look.
_PATIENCE_S = 2.0
_POLL_S = 0.1


def ran_out(error: BaseException) -> bool:
    """Whether memory was lacking, of the device or of the host."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or _WORDS in str(error).lower()


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
