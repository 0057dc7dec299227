"""How wrong values follow from right ones: a factor, an offset, transposed, never written.

Looks for the mistakes that kernels are made with. What is found is exact to rounding, so that it
is worth saying; where nothing is found nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import combinations

import torch

from fitness.diagnostics.places import places

# Elements looked at, so that float64 copies stay small: of more, a part along the first dimension.
LIMIT = 1 << 18
_LEAST = 8
_MOST_SAID = 3
# Root mean square relative error that rounding to a format leaves behind.
_ROUNDING = (("bfloat16", 8e-4, 5e-3), ("float16 or TF32", 8e-5, 6e-4))


def relations(mask: torch.Tensor, want: torch.Tensor, got: torch.Tensor) -> list[str]:
    """What the wrong values have to do with the right ones; at most three sentences.

    Args:
        mask: True where wrong, in the output's shape; at least one is.
        want: Right values, flat, as many as the mask has.
        got: The candidate's values, flat.
    """
    shape = tuple(mask.shape)
    if want.numel() != mask.numel() or want.dtype == torch.bool:
        return []
    mask, want, got = _part(mask, want.view(shape), got.view(shape))
    if not bool(mask.any()):
        return []
    finite = torch.isfinite(got)
    found = list(_not_finite(mask, got)) if not bool(finite.all()) else []
    clean = mask & finite & torch.isfinite(want)
    if int(clean.sum()) < _LEAST:
        return found[:_MOST_SAID]
    single = _one_law(want[clean], got[clean], got.dtype)
    if single:
        found.append(single)
    elif bool(finite.all()) and bool(torch.isfinite(want).all()):
        wide, right = got.double(), want.double()
        # The first that fits is said: the others are mostly consequences of it.
        for look in (_repeated, _moved, _per_index, _rounded):
            if text := look(right, wide, _tolerance(got.dtype)):
                found.append(text)
                break
    return found[:_MOST_SAID]


def _part(
    mask: torch.Tensor, want: torch.Tensor, got: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    if mask.numel() <= LIMIT or mask.dim() == 0:
        return mask, want, got
    rows = max(LIMIT * mask.shape[0] // mask.numel(), 1)
    others = list(range(1, mask.dim()))
    touched = mask.any(dim=others) if others else mask
    start = min(int(touched.to(torch.uint8).argmax()), mask.shape[0] - rows)
    if rows * (mask.numel() // mask.shape[0]) > 2 * LIMIT:
        # One row alone is too large: nothing of its inside can be told cheaply.
        return mask.flatten()[:0], want.flatten()[:0], got.flatten()[:0]
    return tuple(t.narrow(0, start, rows) for t in (mask, want, got))  # type: ignore[return-value]


def _tolerance(dtype: torch.dtype) -> float:
    narrow = dtype.is_floating_point and torch.finfo(dtype).eps > 1e-4
    return 3e-2 if narrow else 2e-3


def _not_finite(mask: torch.Tensor, got: torch.Tensor) -> Iterator[str]:
    count = int(mask.sum())
    for name, kind in (("not a number", torch.isnan(got)), ("infinite", torch.isinf(got))):
        bad = kind & mask
        if not (number := int(bad.sum())):
            continue
        if number == count:
            hint = ": never written, perhaps, or 0/0" if "number" in name else ": an overflow"
            yield f"all wrong elements are {name}{hint}"
        else:
            where = "; ".join(places(bad)[:2])
            yield f"{number} wrong elements are {name}" + (f" ({where})" if where else "")


def _one_law(want: torch.Tensor, got: torch.Tensor, dtype: torch.dtype) -> str:
    """One rule for all wrong elements: the same value, a factor, an offset, or both."""
    if bool((got == got[0]).all()):
        value = got[0].item()
        if value == 0:
            return "all wrong elements are zero: never written, or left out of a sum"
        return f"all wrong elements have the same value, {value:.6g}"
    w, g = want.double(), got.double()
    if not math.isfinite(float(w.square().sum() + g.square().sum())):
        return ""
    tolerance = _tolerance(dtype)
    return _factor(w, g, tolerance) or _offset(w, g, tolerance) or _line(w, g, tolerance)


def _factor(want: torch.Tensor, got: torch.Tensor, tolerance: float) -> str:
    energy = float(want.square().sum())
    factor = float((got * want).sum()) / energy if energy else 1.0
    near = _rms(got - factor * want) < tolerance * _rms(got)
    if not near or abs(factor - 1) <= 4 * tolerance:
        return ""
    return f"every wrong element is {_number(factor)} times the right value"


def _offset(want: torch.Tensor, got: torch.Tensor, tolerance: float) -> str:
    offset = float((got - want).mean())
    if not offset or _rms(got - want - offset) >= tolerance * abs(offset):
        return ""
    sign = "+" if offset > 0 else "-"
    return f"every wrong element is the right value {sign} {abs(offset):.6g}"


def _line(want: torch.Tensor, got: torch.Tensor, tolerance: float) -> str:
    centred = want - want.mean()
    spread = float(centred.square().sum())
    if not spread:
        return ""
    slope = float((centred * got).sum()) / spread
    rest = float(got.mean()) - slope * float(want.mean())
    left, size = _rms(got - slope * want - rest), _rms(got - got.mean())
    if left >= tolerance * size or abs(slope - 1) + abs(rest) / size <= 8 * tolerance:
        return ""
    return f"every wrong element is {_number(slope)} times the right value + {rest:.6g}"


def _repeated(want: torch.Tensor, got: torch.Tensor, _: float) -> str:
    for dimension in range(got.dim()):
        extent = got.shape[dimension]
        if extent < 2 or bool((want == want.narrow(dimension, 0, 1)).all()):
            continue
        if bool((got == got.narrow(dimension, 0, 1)).all()):
            return (
                f"the output is the same at all {extent} indices of dimension {dimension}: that "
                "index is not used, or every part writes to one place"
            )
    return ""


def _moved(want: torch.Tensor, got: torch.Tensor, tolerance: float) -> str:
    """Right values at the wrong places."""
    limit = tolerance * max(_rms(want), 1e-300)

    def same(a: torch.Tensor, b: torch.Tensor) -> bool:
        # A few elements first: most guesses are wrong.
        head, other = a.reshape(-1)[:64], b.reshape(-1)[:64]
        return a.numel() > 0 and _rms(head - other) < 8 * limit and _rms(a - b) < limit

    long = [d for d in range(want.dim()) if want.shape[d] > 1]
    for a, b in combinations(long, 2):
        if same(want.transpose(a, b).reshape(want.shape), got):
            return f"right values, but with dimensions {a} and {b} transposed in memory"
    for d in long:
        extent = want.shape[d]
        if same(want.flip(d), got):
            return f"right values in reverse order along dimension {d}"
        for shift in (1, 2) if extent >= 8 else ():
            kept = extent - shift
            if same(want.narrow(d, 0, kept), got.narrow(d, shift, kept)):
                return f"right values moved by {shift} to higher indices along dimension {d}"
            if same(want.narrow(d, shift, kept), got.narrow(d, 0, kept)):
                return f"right values moved by {shift} to lower indices along dimension {d}"
    return ""


def _per_index(want: torch.Tensor, got: torch.Tensor, tolerance: float) -> str:
    """One offset, or one factor, for each index of a dimension."""
    difference = got - want
    size = _rms(difference)
    fits: tuple[tuple[str, Callable[[list[int]], torch.Tensor]], ...] = (
        (
            "by one constant for each index of dimension {}, as of a bias left out or added twice",
            lambda others: difference - difference.mean(dim=others, keepdim=True),
        ),
        (
            "by one factor for each index of dimension {}, as of a scale or a wrong divisor",
            lambda others: (
                got
                - want
                * (
                    (got * want).sum(dim=others, keepdim=True)
                    / want.square().sum(dim=others, keepdim=True).clamp_min(1e-300)
                )
            ),
        ),
    )
    for text, rest in fits:
        for dimension in range(want.dim()):
            extent = want.shape[dimension]
            if extent < 2 or extent * 4 > want.numel():
                continue
            others = [d for d in range(want.dim()) if d != dimension]
            if _rms(rest(others)) < 4 * tolerance * size:
                return "wrong " + text.format(dimension)
    return ""


def _rounded(want: torch.Tensor, got: torch.Tensor, tolerance: float) -> str:
    size = _rms(want)
    error = _rms(got - want) / size if size else math.inf
    for name, low, high in _ROUNDING:
        if low <= error <= high and tolerance < 1e-2:
            return (
                f"the relative error, {error:.1e} rms, is no larger than what {name} leaves: less "
                "precision, or a little left out of a sum"
            )
    return ""


def _rms(values: torch.Tensor) -> float:
    return math.sqrt(float(values.square().mean())) if values.numel() else math.inf


def _number(value: float) -> str:
    """A factor with the simple form that it is near to."""
    size, sign = abs(value), "-" if value < 0 else ""
    shown = f"{value:.6g}"
    for text, form in (
        ("{}", size),
        ("1/{}", 1 / size if size else 0.0),
        ("sqrt({})", size * size),
        ("1/sqrt({})", 1 / size**2 if size else 0.0),
    ):
        near = round(form)
        if 1 <= near <= 1 << 16 and abs(form - near) < 2e-3 * min(near, 64) / 8:
            simple = sign + text.format(near)
            return shown if simple == shown else f"{shown} ({simple})"
    return shown
