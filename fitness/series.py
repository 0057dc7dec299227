"""Call a candidate several times in the same memory: what an answer kept from before would show.

All calls of a series find their inputs in the same tensors, whose contents are replaced in between
without the tensors' version counters telling; outputs are held and compared once more at the end.
A kernel that computes what it is asked answers each call alike, whatever came before.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from fitness.answers import outputs_of, same, traits_of, write
from fitness.bench import poison, synchronise
from fitness.exchange import (
    TensorSpec,
    fresh,
    private_mapping,
    spec_of,
    total_bytes,
    unflatten,
    views,
)


def call_series(
    model: Callable[..., Any],
    question: Mapping[str, Any],
    descriptors: Sequence[int],
    device: str,
) -> dict[str, Any]:
    """Call a model on cases, one after the other.

    Args:
        model: The candidate.
        question: `trees` (one structure per call), `specs` (the input tensors), `outputs` (what
            outputs are expected).
        descriptors: Sealed memory with each call's inputs, then the memory for all outputs; closed
            here.
        device: As torch names it.

    Returns:
        `calls`, one entry per call with `tree`, `specs`, `traits`, `changed` (positions of changed
        inputs) and `stale` (positions of outputs that changed after they were returned). It ends
        with the first call whose outputs are not as expected.
    """
    *given, outputs_end = descriptors
    specs = [TensorSpec.from_json(s) for s in question["specs"]]
    expected = [TensorSpec.from_json(s) for s in question["outputs"]]
    region = mmap.mmap(outputs_end, total_bytes(expected * len(given)))
    mappings = [private_mapping(descriptor, total_bytes(specs)) for descriptor in given]
    for descriptor in descriptors:
        os.close(descriptor)
    slots = _slots(region, expected, len(given))
    tensors: list[torch.Tensor] = []
    # Other objects over the same memory: what a candidate does to those it gets is its own.
    aliases: list[torch.Tensor] = []
    calls: list[dict[str, Any]] = []
    held: list[list[torch.Tensor]] = []
    for tree, mapping, slot in zip(question["trees"], mappings, slots, strict=True):
        originals = views(mapping, specs)
        tensors = _filled(tensors, originals, specs, device)
        aliases = aliases or [t.detach() for t in tensors]
        arguments = unflatten(tree, aliases)
        poison(expected, device)
        with torch.no_grad():
            result = model(*arguments)
        synchronise(device)
        answer_tree, outputs = outputs_of(result)
        found = [spec_of(t) for t in outputs]
        fits = [(s.dtype, s.shape) for s in found] == [(s.dtype, s.shape) for s in expected]
        if fits:
            write(slot, outputs)
        changed = [
            i
            for i, (view, tensor) in enumerate(zip(originals, tensors, strict=True))
            if not same(view, tensor)
        ]
        calls.append(
            {
                "tree": answer_tree,
                "specs": [s.to_json() for s in found],
                "traits": [traits_of(t).to_json() for t in outputs],
                "changed": changed,
                "stale": [],
            }
        )
        held.append(outputs)
        if not fits:
            break
    else:
        for call, outputs, slot in zip(calls[:-1], held, slots, strict=False):
            pairs = enumerate(zip(slot, outputs, strict=True))
            call["stale"] = [i for i, (view, output) in pairs if not same(view, output)]
    return {"calls": calls}


def _slots(
    region: mmap.mmap, expected: Sequence[TensorSpec], count: int
) -> list[list[torch.Tensor]]:
    every = views(region, [*expected] * count)
    size = len(expected)
    return [every[i * size : (i + 1) * size] for i in range(count)]


def _filled(
    tensors: list[torch.Tensor],
    originals: Sequence[torch.Tensor],
    specs: Sequence[TensorSpec],
    device: str,
) -> list[torch.Tensor]:
    """New tensors with a call's inputs; from the second call on, the old ones with new contents."""
    if not tensors:
        return [fresh(v, s, device) for v, s in zip(originals, specs, strict=True)]
    # An alias by `data` has a version counter of its own.
    write([t.data for t in tensors], originals)
    return tensors
