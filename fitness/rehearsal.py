"""Imported by the zygote: goes once through what every candidate's process does.

What Python and torch make when something is done for the first time (specialised bytecode, caches
of methods, tables of operators) is there before the first fork then, and no child makes it again
in a copied page. One call of a model on a few numbers: no parallel region is entered, because on
less than some thousand numbers torch does not, and so no thread is started before a fork.
"""

from __future__ import annotations

import gc
import linecache
import os
import socket
import sys
from typing import Any

import torch

from fitness.bench import Stopwatch, Timed
from fitness.contents import on_device
from fitness.exchange import (
    OutputRegion,
    TensorSpec,
    flatten,
    private_mapping,
    sealed_memory,
    spec_of,
    total_bytes,
    views,
)
from fitness.pace import Request
from fitness.runner import MODULE, load
from fitness.sandbox.channel import Channel
from fitness.series import call_series
from fitness.variation import Contents, change_of

# The interpreter specialises a function after eight calls.
_TIMES = 10
_CALLS = 3


_SOURCE = """
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        return torch.add(a, b)
"""


def rehearse() -> None:
    """Construct a model, call it on cases, time batches of it."""
    # A batch leaves the collector at work, whose first look would be at all that was imported.
    gc.freeze()
    _have_small_pool()
    _forget_lookups()
    # Not drawn at random: the generators stay as they are.
    inputs = [torch.tensor([0.25, 1.5, -3.0]), torch.tensor([1.0, 0.5, 2.25])]
    tree, tensors = flatten(inputs)
    specs = [spec_of(t) for t in tensors]
    outputs = [TensorSpec("float32", (3,))]
    stopwatch = Stopwatch("cpu")
    for _ in range(_TIMES):
        model = load(_SOURCE, os.devnull).ModelNew().to("cpu", None)
        model.state_dict()
        _talk()
        _case(model, tree, tensors, specs, outputs)
        _paced(model, stopwatch, tree, tensors, specs, outputs)
    del sys.modules[MODULE], linecache.cache[os.devnull]


def _have_small_pool() -> None:
    """Make a pool of one thread, the caller, of what every child would make with a thread more.

    `set_num_threads` makes it, for nothing but XNNPACK and QNNPACK, at its first call in a process;
    a forked one makes its own as large as this one. What else it sets is set again as it was.
    """
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_num_threads(count)


def _forget_lookups() -> None:
    """Have the interpreter remember no attribute that only an import looked up.

    Its cache has one place for many names: a child that looks up another one in the same place
    writes to the name that it drives out too, and that may lie anywhere.
    """
    clear = getattr(sys, "_clear_internal_caches", None) or getattr(sys, "_clear_type_cache", None)
    if clear:
        clear()


def _talk() -> None:
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours, theirs = (Channel(end, trusted=True) for end in ends)
    ours.send({"do": "rehearse", "specs": [["float32", [3], []]], "nonce": "0"})
    ours.send_fds([0])
    theirs.receive(1.0)
    for descriptor in theirs.receive_fds(1.0):
        os.close(descriptor)
    ours.close()
    theirs.close()


def _case(
    model: Any,
    tree: Any,
    tensors: list[torch.Tensor],
    specs: list[TensorSpec],
    outputs: list[TensorSpec],
) -> None:
    given = [sealed_memory(tensors, specs) for _ in range(2)]
    question = {
        "trees": [tree] * len(given),
        "specs": [s.to_json() for s in specs],
        "outputs": [s.to_json() for s in outputs],
    }
    with OutputRegion(outputs * len(given)) as region:
        call_series(model, question, [*given, os.dup(region.descriptor)], "cpu")


def _paced(  # noqa: PLR0917 - what makes one subject
    model: Any,
    stopwatch: Stopwatch,
    tree: Any,
    tensors: list[torch.Tensor],
    specs: list[TensorSpec],
    outputs: list[TensorSpec],
) -> None:
    memory = sealed_memory(tensors, specs)
    mapped = views(private_mapping(memory, total_bytes(specs)), specs)
    os.close(memory)
    changes = [change_of([t]) for t in mapped]
    contents = Contents(tree, on_device([mapped], specs, "cpu"), changes)
    arguments = contents.arguments
    timed = Timed(lambda: model(*arguments), contents, tuple(outputs))
    stopwatch.batch(timed, Request(subject=0, calls=_CALLS, settle_ms=1e-3, secret=7))
    stopwatch.batch(timed, Request(subject=0, calls=0, sample=7))


rehearse()
