"""How much of the error allowed an output uses up, and how outputs follow a change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from fitness.correctness import WIDE, Expected, differing, limits_of
from fitness.exchange import TensorSpec

# Share of the reference's response to a changed input that an output's must show.
_FOLLOWS = (0.5, 1.5)
# So many times the error allowed is rounding at most: in float32 0.4% of a value.
_MOST_EQUAL = 256.0


def strain(want: Expected, output: torch.Tensor) -> float:
    """The largest error of an output in units of the error allowed: up to 1 it passes."""
    flat = output.contiguous().flatten()
    if output.is_complex():
        flat = torch.view_as_real(output.contiguous()).flatten()
    flat = flat.to(want.values.device)
    if want.exact:
        return math.inf if bool(differing(want, flat).any()) else 0.0
    size = want.values.abs()
    error = (flat.double() - want.values).abs()
    if want.special is not None:
        places, values = want.special
        got = flat[places]
        same = (got == values) | (torch.isnan(got) & torch.isnan(values))
        error[places] = torch.where(same, 0.0, math.inf).to(error.dtype)
    if not bool(torch.isfinite(error).all()):
        return math.inf
    if want.tolerance is not None:
        allowed = want.tolerance[0] + want.tolerance[1] * size
        return float((error / allowed).nan_to_num_(0.0, math.inf).max()) if error.numel() else 0.0
    factor, floor = limits_of(want)
    floor *= torch.finfo(want.spec.torch_dtype).eps
    worst = (error / (size + want.scale)).nan_to_num_(0.0, math.inf) / (
        factor * want.reference_worst + floor
    )
    rms = math.sqrt(float(error.square().sum()) / max(error.numel(), 1))
    allowed_rms = factor * want.reference_rms + floor * want.scale
    largest = float(worst.max()) if error.numel() else 0.0
    return max(largest, rms / allowed_rms if allowed_rms > 0 else math.inf if rms > 0 else 0.0)


def strain_of_equals(want: Expected, output: torch.Tensor, count: int) -> float:
    """`strain` where many of the numbers that are added up are equal.

    Rounding errors of n different numbers add up to about sqrt(n) units in the last place, those of
    n equal ones to as many as n: each addition is rounded in the same direction. The rule is made
    for the first, and the reference may be lucky: a sum of ones is exact. So sqrt(n) times as much
    is allowed, in float32's units at least, which narrower dtypes are added up in. The same room is
    needed where equal numbers leave a variance of rounding alone, which is divided by.

    Args:
        want: The output; `TOLERANCE` is not asked.
        output: The candidate's.
        count: Numbers that one sum may have (`summands`).
    """
    room = min(math.sqrt(max(count, 1)), _MOST_EQUAL)
    if not want.exact:
        eps = torch.finfo(want.spec.torch_dtype).eps
        single = min(eps, torch.finfo(torch.float32).eps)
        room *= WIDE[1] * single / (limits_of(want)[1] * eps)
    return strain(replace(want, tolerance=None), output) / max(room, 1.0)


def summands(specs: Sequence[TensorSpec]) -> int:
    """How many numbers one sum over inputs may have: those of a sample, or one of each sample."""
    found = 1
    for spec in specs:
        if spec.torch_dtype.is_floating_point and spec.shape:
            count = math.prod(spec.shape)
            samples = spec.shape[0] if len(spec.shape) > 1 else 1
            found = max(found, samples, count // max(samples, 1))
    return found


def response_fault(
    before: Sequence[Expected],
    after: Sequence[Expected],
    outputs_before: Sequence[torch.Tensor],
    outputs_after: Sequence[torch.Tensor],
) -> str:
    """How outputs fail to follow a change of an input as the reference's do, or "".

    A wide `TOLERANCE` may hide the whole effect of an input. So the change of each output is held
    against that of the golden values: its projection on them must be 0.5 to 1.5 of theirs. Changes
    within 8 times the reference's own error say nothing.
    """
    for number, (want, then) in enumerate(zip(before, after, strict=True)):
        if want.exact or want.values.shape != then.values.shape:
            continue
        change = then.values - want.values
        size = float(change.norm()) / math.sqrt(max(change.numel(), 1))
        eps = torch.finfo(want.spec.torch_dtype).eps
        if size <= 8 * (
            want.reference_rms + then.reference_rms + eps * max(want.scale, then.scale)
        ):
            continue
        got = _flat(outputs_after[number]) - _flat(outputs_before[number])
        got = got.nan_to_num_(0.0, 0.0, 0.0).to(change.device)
        share = float(got @ change) / float(change @ change)
        if not _FOLLOWS[0] <= share <= _FOLLOWS[1]:
            return (
                f"output {number} does not follow: it changes by {share:.2g} of what the "
                f"reference's changes by (rms {size:.3g})"
            )
    return ""


def golden_of(want: Expected) -> torch.Tensor:
    """The golden values as an output: in its dtype and shape, special places filled in."""
    values = want.values.to(torch.float64).clone() if want.special is not None else want.values
    if want.special is not None:
        values[want.special[0]] = want.special[1].double()
    if want.spec.torch_dtype.is_complex:
        return torch.view_as_complex(values.view(*want.spec.shape, 2)).to(want.spec.torch_dtype)
    return values.view(want.spec.shape).to(want.spec.torch_dtype)


def _flat(output: torch.Tensor) -> torch.Tensor:
    """An output's values in float64, complex numbers as pairs."""
    real = torch.view_as_real(output) if output.is_complex() else output
    return real.contiguous().flatten().double()
