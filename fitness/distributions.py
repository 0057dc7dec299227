"""Other inputs than the problem draws: what a kernel fitted to one distribution would get wrong.

Each distribution changes the floating tensors of one draw. What carries a meaning of its own stays
as it is: integers in floating tensors (masks, labels), what is not finite, rows that add up to one.
A tensor with a structure that a kernel may rely on (symmetric, sorted, many zeros) is only scaled
as a whole. Integer tensors are never changed: they may be indices, lengths or sorted maps.

Amplitudes are chosen so that the small part of an output still counts beside the large part: with a
ratio of 32 in float32 and 8 in half precision the error allowed is far below the smallest values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import torch

# Zeros among the elements of a tensor, from which on they are its structure.
_SPARSE = 0.1
# Below these a random tensor may look sorted or symmetric by chance.
_LEAST_SORTED = 8
_SPIKES = 0.01
_DENORMAL = 0.25
_ROOM = 2.0**20
_HALF_ROOM = 2.0**5
SHIFT_SIGMAS = 4.0
# Ratio of large to small values, tried from the left: sharp functions allow only the small one.
AMPLITUDES = (32.0, 6.0)
HALF_AMPLITUDES = (8.0, 3.0)


class Kind(StrEnum):
    """What may be changed of a tensor."""

    FREE = "free"
    SCALE = "scale"  # by one factor for all elements
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class Draw:
    """What a change may use.

    Attributes:
        amplitude: Ratio of large values to small ones.
        dtype: What the values will be rounded to.
        generator: Of everything random.
    """

    amplitude: float
    dtype: torch.dtype
    generator: torch.Generator

    def random(self, size: int) -> torch.Tensor:
        """Numbers between 0 and 1."""
        return torch.rand(size, generator=self.generator)

    def places(self, size: int, count: int) -> torch.Tensor:
        """Positions, at least one; some may be the same."""
        return torch.randint(size, (max(count, 1),), generator=self.generator)


Change = Callable[[torch.Tensor, Draw], torch.Tensor]
"""(a copy of the values in float32 or float64, draw) -> new values of the same shape."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """One way to change the floating inputs of a problem.

    Attributes:
        name: As it is reported.
        change: What is done to a tensor that may be changed freely.
        factor: What a tensor that may only be scaled is multiplied with; 1 leaves it.
        amplitudes: Whether it is to be tried with both `AMPLITUDES`.
        random: Whether values stay as random as the problem's own, so that the error of a
            computation in less precision can be told from chance.
        extreme: Whether values are so large that sums of them overflow.
        repeats: Whether many values are equal, so that rounding errors of their sums do not average
            out (`fitness.strain.strain_of_equals`).
    """

    name: str
    change: Change
    factor: float = 1.0
    amplitudes: bool = False
    random: bool = False
    extreme: bool = False
    repeats: bool = False

    def apply(
        self,
        tensors: Sequence[torch.Tensor],
        kinds: Sequence[Kind],
        seed: int,
        *,
        mild: bool = False,
    ) -> list[torch.Tensor] | None:
        """The tensors with those changed that may be; None when none can be.

        Args:
            tensors: Of one draw; left as they are.
            kinds: What `kind_of` says of each.
            seed: For what is drawn here.
            mild: Take the smaller amplitude.
        """
        generator = torch.Generator().manual_seed(seed & ((1 << 63) - 1))
        found, changed = [], False
        for tensor, kind in zip(tensors, kinds, strict=True):
            new = self._changed(tensor, kind, generator, mild=mild)
            changed |= new is not tensor
            found.append(new)
        return found if changed else None

    def _changed(
        self, tensor: torch.Tensor, kind: Kind, generator: torch.Generator, *, mild: bool
    ) -> torch.Tensor:
        if kind is Kind.FIXED or (kind is Kind.SCALE and self.factor == 1.0):
            return tensor
        wide = tensor.detach().to("cpu", _computed_in(tensor.dtype))
        if kind is Kind.SCALE:
            new = wide * self.factor
        else:
            halves = tensor.dtype.itemsize < 4
            amplitude = (HALF_AMPLITUDES if halves else AMPLITUDES)[1 if mild else 0]
            copy = wide.clone(memory_format=torch.contiguous_format)
            new = self.change(copy, Draw(amplitude, tensor.dtype, generator))
        # Memory order is part of what the problem gives.
        return torch.empty_like(tensor).copy_(new)


def kind_of(tensor: torch.Tensor) -> Kind:
    """What may be changed of an input, judged by its contents."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return Kind.FIXED
    if not bool(torch.isfinite(tensor).all()) or bool((tensor == tensor.round()).all()):
        return Kind.FIXED
    if tensor.dim() and tensor.shape[-1] > 1 and _sums_to_one(tensor):
        return Kind.FIXED
    if float((tensor == 0).double().mean()) > _SPARSE:
        return Kind.SCALE
    structured = (
        tensor.dim()
        and tensor.shape[-1] >= _LEAST_SORTED
        and (bool((tensor.diff(dim=-1) >= 0).all()) or _is_symmetric(tensor))
    )
    return Kind.SCALE if structured else Kind.FREE


def _sums_to_one(tensor: torch.Tensor) -> bool:
    sums = tensor.double().sum(-1)
    return bool(((sums - 1).abs() < 1e-2).all()) and bool((tensor >= 0).all())


def _is_symmetric(tensor: torch.Tensor) -> bool:
    square = tensor.dim() > 1 and tensor.shape[-1] == tensor.shape[-2]
    return square and torch.equal(tensor, tensor.transpose(-1, -2))


def _computed_in(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype is torch.float64 else torch.float32


def _rows(values: torch.Tensor) -> torch.Tensor:
    """A view of rows: along the last dimension, or quarters of what has only one."""
    length = values.shape[-1] if values.dim() > 1 else max(values.numel() // 4, 1)
    flat = values.view(-1)
    return flat[: flat.numel() // length * length].view(-1, length)


def _some_rows(values: torch.Tensor) -> torch.Tensor:
    """Every second row; a single row is wholly taken."""
    rows = _rows(values)
    return rows[1::2] if rows.shape[0] > 1 else rows


def _sigma(values: torch.Tensor) -> float:
    spread = float(values.std()) if values.numel() > 1 else 0.0
    return spread or float(values.abs().max()) or 1.0


def _shift(values: torch.Tensor, _: Draw) -> torch.Tensor:
    # Away from zero: what must be positive stays so.
    away = SHIFT_SIGMAS if float(values.mean()) >= 0 else -SHIFT_SIGMAS
    return values.add_(away * _sigma(values))


def _enlarge(values: torch.Tensor, _: Draw) -> torch.Tensor:
    return values.mul_(8.0)


def _shrink(values: torch.Tensor, _: Draw) -> torch.Tensor:
    return values.mul_(1 / 16)


def _spike(values: torch.Tensor, draw: Draw) -> torch.Tensor:
    """A few large values among small ones, in random places."""
    places = draw.places(values.numel(), int(values.numel() * _SPIKES))
    flat = values.view(-1)
    # Read once and written once: a place drawn twice grows once.
    flat[places] = flat[places] * draw.amplitude
    return values


def _grow_suffix(values: torch.Tensor, draw: Draw) -> torch.Tensor:
    """What stands first looks as always, the rest is large."""
    values.view(-1)[values.numel() // 2 :] *= draw.amplitude
    return values


def _scale_rows(values: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Each row has an amplitude of its own, from 1 / sqrt(amplitude) to sqrt(amplitude)."""
    rows = _rows(values)
    rows *= (draw.amplitude ** (draw.random(rows.shape[0]) - 0.5)).unsqueeze(1).to(rows.dtype)
    return values


def _mix(values: torch.Tensor, draw: Draw) -> torch.Tensor:
    """An ordinary beginning; then rows of different amplitude with a few larger values."""
    begin = values.numel() // 4
    ordinary = values.view(-1)[:begin].clone()
    _scale_rows(values, draw)
    _spike(values, replace(draw, amplitude=draw.amplitude**0.5))
    values.view(-1)[:begin] = ordinary
    return values


def _flatten_rows(values: torch.Tensor, _: Draw) -> torch.Tensor:
    rows = _some_rows(values)
    rows.copy_(rows[:, :1].clone().expand_as(rows))
    return values


def _one_hot(values: torch.Tensor, _: Draw) -> torch.Tensor:
    rows = _some_rows(values)
    place = rows.abs().argmax(1, keepdim=True)
    kept = rows.gather(1, place)
    rows.zero_().scatter_(1, place, kept)
    return values


def _alternate(values: torch.Tensor, _: Draw) -> torch.Tensor:
    flat = values.abs_().view(-1)
    flat[1::2].neg_()
    return values


def _sort(values: torch.Tensor, _: Draw) -> torch.Tensor:
    return values.sort(-1).values if values.dim() else values


def _tie(values: torch.Tensor, _: Draw) -> torch.Tensor:
    step = _sigma(values) / 2
    return values.div_(step).round_().mul_(step)


def _blank(values: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Rows of zeros, and single zeros between other values."""
    flat = values.view(-1)
    flat[draw.random(flat.numel()) < _SPARSE] = 0
    _some_rows(values).zero_()
    return values


def _denormal(values: torch.Tensor, draw: Draw) -> torch.Tensor:
    """A quarter of the values is too small for a normal number."""
    flat = values.view(-1)
    chosen = draw.random(flat.numel()) < _DENORMAL
    flat[chosen] = flat[chosen].sign() * (torch.finfo(draw.dtype).tiny / 8)
    return values


def _largest(values: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Some values close to the largest finite ones; many references overflow and are not asked."""
    flat = values.view(-1)
    # Enough of them to decide the outputs' scale: a kernel that computes several outputs at once
    # (minimal filtering) may leave their rounding in an output that does not depend on them.
    places = draw.places(flat.numel(), flat.numel() // 8)
    # Room for sums of some of them, in whatever order.
    room = _ROOM if torch.finfo(draw.dtype).max > 1e30 else _HALF_ROOM
    flat[places] = flat[places].sign() * (torch.finfo(draw.dtype).max / room)
    return values


MIXED = Distribution("mixed", _mix, amplitudes=True)
ALL = (
    Distribution("shifted", _shift, random=True),
    Distribution("scaled up", _enlarge, factor=8.0, random=True),
    Distribution("scaled down", _shrink, factor=1 / 16, random=True),
    MIXED,
    Distribution("spikes", _spike, amplitudes=True),
    Distribution("large suffix", _grow_suffix, amplitudes=True),
    Distribution("rows of different amplitude", _scale_rows, amplitudes=True),
    Distribution("constant rows", _flatten_rows, repeats=True),
    Distribution("one-hot rows", _one_hot, repeats=True),
    Distribution("alternating signs", _alternate),
    Distribution("sorted", _sort),
    Distribution("ties", _tie, repeats=True),
    Distribution("zeros", _blank, repeats=True),
    Distribution("denormal numbers", _denormal, repeats=True),
    Distribution("largest numbers", _largest, extreme=True),
)
