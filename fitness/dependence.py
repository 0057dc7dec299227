"""Which bytes a call provably has to touch, found from the reference alone.

An element of an input has to be read when the output's derivative by it is not zero; one that has
none may or may not matter (half of a ReLU's inputs, all indices), and is not counted, nor is one
that is zero itself: triangular and sparse inputs may be skipped. Bytes of the state are not counted
either: a candidate may prepare it once, in a smaller form.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fitness.exchange import flatten, unflatten

# Inputs larger than this share of the memory are not differentiated: it takes several times more.
_MEMORY_SHARE = 1 / 24
# For a function that grows with its inputs, the sum of derivative times input is its output. Far
# less means that the output does not depend on the inputs but by rounding.
_LEAST_INFLUENCE = 1e-3


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes that one call has to read of its inputs and to write of its outputs."""

    read: int
    written: int


def moved_bytes(model: torch.nn.Module, inputs: Sequence[Any], device: str) -> Moved | None:
    """Find out, by one run of the reference and one of its gradient.

    Args:
        model: The reference on `device`; its parameters' gradients are not asked for.
        inputs: One call's arguments, on the CPU.
        device: Where to run.

    Returns:
        None when the reference's outputs share memory with its inputs, so that nothing is provable.
        Inputs count as unread where no gradient is to be had.
    """
    tree, tensors = flatten(inputs)
    for parameter in model.parameters():
        parameter.requires_grad = False
    given = [t.to(device, copy=True) for t in tensors]
    with torch.no_grad():
        outputs = flatten(model(*unflatten(tree, given)))[1]
    owned = {t.untyped_storage().data_ptr() for t in [*given, *model.state_dict().values()]}
    if any(o.untyped_storage().data_ptr() in owned for o in outputs):
        return None
    # An expanded output is smaller in memory than it looks.
    written = sum({o.untyped_storage().data_ptr(): _extent(o) for o in outputs}.values())
    if sum(t.nbytes for t in tensors) > _MEMORY_SHARE * _memory_bytes(device):
        return Moved(0, written)
    del outputs
    try:
        return Moved(_read_bytes(model, tree, tensors, device), written)
    except (RuntimeError, NotImplementedError, MemoryError, ValueError, TypeError):
        return Moved(0, written)


def _read_bytes(
    model: torch.nn.Module, tree: Any, tensors: Sequence[torch.Tensor], device: str
) -> int:
    given = [t.to(device, copy=True).requires_grad_(t.is_floating_point()) for t in tensors]
    # A leaf may not be changed in place: what the model sees is a copy of it.
    seen = [t * 1 if t.requires_grad else t for t in given]
    with torch.enable_grad():
        outputs = flatten(model(*unflatten(tree, seen)))[1]
        outputs = [torch.view_as_real(o) if o.is_complex() else o for o in outputs]
        wanted = [o for o in outputs if o.requires_grad]
        leaves = [t for t in given if t.requires_grad]
        if not wanted or not leaves:
            return 0
        weights = [_signs(o) for o in wanted]
        # As `grad_outputs` the weights would make torch import sympy: 35 MB and half a second.
        sums = [(o * w).sum() for o, w in zip(wanted, weights, strict=True)]
        gradients = torch.autograd.grad(sums, leaves, allow_unused=True)
    scale = sum(
        float((o.detach() * w).sum(dtype=torch.float64).abs())
        for o, w in zip(wanted, weights, strict=True)
    )
    found = 0
    for leaf, gradient in zip(leaves, gradients, strict=True):
        if gradient is None:
            continue
        felt = gradient * leaf.detach()
        influence = float(felt.abs().sum(dtype=torch.float64))
        if influence > _LEAST_INFLUENCE * scale:
            found += int(torch.count_nonzero(felt)) * leaf.element_size()
    return found


def _signs(output: torch.Tensor) -> torch.Tensor:
    """Weights that do not make the sum of a softmax or of a normalised row vanish."""
    generator = torch.Generator(output.device).manual_seed(output.numel())
    drawn = torch.rand(output.shape, generator=generator, device=output.device) + 0.5
    return drawn.to(output.dtype)


def _extent(tensor: torch.Tensor) -> int:
    """Bytes of memory that a tensor's elements lie in, each counted once."""
    distinct = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        distinct *= size if stride else min(size, 1)
    return distinct * tensor.element_size()


def _memory_bytes(device: str) -> int:
    if device == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free: Any = torch.cuda.mem_get_info(device)
    return int(free[0])
