"""Whether outputs are right: compared with float64, by the reference's own error as the yardstick.

For each output the reference is computed twice on the same inputs: in the declared dtype and in
float64 (the golden values g). The first one's error says what that dtype can do. With s = rms(g),
an element's scaled error is |out - g| / (|g| + s), and an output passes when both hold:

    largest scaled error <= a * (the reference's largest) + c * eps
    rms error            <= a * (the reference's rms)     + c * eps * s

where eps is the dtype's machine epsilon. For float32 and wider (a, c) = (16, 128): a kernel may sum
in another order, one accumulator per lane of a long sum included. The reference's error and c*eps*s
together stay far below what TF32 or half precision cost, unless long sums of positive numbers
average their rounding away. So from (4, 4) on an error is also compared with what rounding the
inputs to 10 or 7 bits of mantissa, or to two parts of 7 bits, would cause (`Lowered`): an honest
sum's error has nothing to do with it, a downgraded product's error is made of it. For narrower
dtypes (a, c) = (4, 2): the reference rounds its output once, a right kernel does so too, and
accumulating in half precision costs more.

Where the reference overflows or is not a number, the output must be the same there; elsewhere it
must be finite. Integers, booleans and `EXACT` problems must be equal. `TOLERANCE` takes the place
of the rule for a dtype: |out - g| <= atol + rtol |g| for every element. It does not
excuse less precision: what is computed in less is wrong under any tolerance, unless the reference
is computed so as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from fitness.exchange import TensorSpec, Tree, spec_of
from fitness.mismatch import describe_mismatch
from populations.outcome import Outcome

# Elements compared at a time, so that float64 temporaries stay small.
CHUNK = 1 << 22
# Devices may take numbers too small for a normal float32 as zero (atomic additions of CUDA do): the
# scale of an output is never less than where the floor of the rule is that small.
LEAST_SCALE = torch.finfo(torch.float32).tiny / torch.finfo(torch.float32).eps
STRICT = (4.0, 4.0)
WIDE = (16.0, 128.0)
NARROW = (4.0, 2.0)
# A downgrade's error must resemble the prediction this much, and by chance it never would.
RESEMBLANCE = 0.25
RESEMBLANCE_SIGMAS = 8.0
Lowered = Callable[[], Iterator[tuple[str, Sequence[torch.Tensor]]]]
"""Gives (what was rounded, the golden outputs after it) for each downgrade to look for."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One output of the reference, ready to compare with.

    Attributes:
        spec: Its dtype and shape.
        values: Flat golden values in float64; in the declared dtype when `exact`.
        exact: Whether equality is asked for.
        special: Flat positions where the reference is not finite, and its values there.
        scale: Root mean square of the finite golden values, and at least `LEAST_SCALE`.
        reference_worst: The reference's own largest scaled error.
        reference_rms: The reference's own root mean square error.
        reference_abs: The reference's own largest absolute error.
        tolerance: (atol, rtol) in place of the rule.
    """

    spec: TensorSpec
    values: torch.Tensor
    exact: bool
    special: tuple[torch.Tensor, torch.Tensor] | None = None
    scale: float = 0.0
    reference_worst: float = 0.0
    reference_rms: float = 0.0
    reference_abs: float = 0.0
    tolerance: tuple[float, float] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that keeping it costs."""
        return self.values.numel() * self.values.element_size()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one call's outputs are right.

    Attributes:
        outcome: PASSED, or what is wrong with the first wrong output.
        text: For people and the next operator; empty when right.
        details: JSON-able facts: errors beside the reference's own, position of the mismatch.
    """

    outcome: Outcome
    text: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Errors:
    worst: float = 0.0
    absolute: float = 0.0
    square_sum: float = 0.0
    finite: bool = True
    within: bool = True

    def rms(self, count: int) -> float:
        return math.sqrt(self.square_sum / max(count, 1))


def expect(
    native: torch.Tensor,
    golden: torch.Tensor | None,
    *,
    exact: bool,
    tolerances: Mapping[str, tuple[float, float]],
) -> Expected:
    """Prepare one output of the reference.

    Args:
        native: What the reference computes in the declared dtype.
        golden: The same in float64; None when equality with `native` is asked for.
        exact: Whether the problem asks for equality.
        tolerances: The problem's TOLERANCE by dtype's name, "*" for any.
    """
    native = native.detach()
    spec = spec_of(native)
    spec = TensorSpec(spec.dtype, spec.shape)
    if native.is_complex():
        native = torch.view_as_real(native)
        golden = None if golden is None else torch.view_as_real(golden.to(torch.complex128))
    if exact or golden is None or not native.is_floating_point():
        return Expected(spec, native.contiguous().flatten().clone(), exact=True)
    flat = native.contiguous().flatten()
    values = golden.detach().to(torch.float64).contiguous().flatten()
    special = None
    finite = torch.isfinite(flat) & torch.isfinite(values)
    if not bool(finite.all()):
        places = torch.nonzero(~finite).flatten()
        special = (places, flat[places].clone())
        # Neutral in every sum below; these places are compared by themselves.
        values = values.masked_fill(~finite, 0.0)
        flat = flat.masked_fill(~finite, 0.0)
    rms = math.sqrt(float(values.square().sum()) / max(values.numel(), 1))
    scale = max(rms, LEAST_SCALE)
    own = _errors(flat, values, scale, None)
    return Expected(
        spec,
        values,
        exact=False,
        special=special,
        scale=scale,
        reference_worst=own.worst,
        reference_rms=own.rms(values.numel()),
        reference_abs=own.absolute,
        tolerance=tolerances.get(spec.dtype, tolerances.get("*")),
    )


def compare_structure(
    expected_tree: Tree,
    expected: Sequence[TensorSpec],
    tree: Tree,
    specs: Sequence[TensorSpec],
) -> Verdict | None:
    """Compare number, nesting, shapes and dtypes of outputs; None when they agree."""
    if _nesting(tree) != _nesting(expected_tree) or len(specs) != len(expected):
        return Verdict(
            Outcome.WRONG_SHAPE,
            f"forward returned {_words(tree, specs)}, but the reference returns "
            f"{_words(expected_tree, expected)}",
        )
    for outcome, attribute in ((Outcome.WRONG_SHAPE, "shape"), (Outcome.WRONG_DTYPE, "dtype")):
        for number, (want, got) in enumerate(zip(expected, specs, strict=True)):
            if getattr(want, attribute) != getattr(got, attribute):
                return Verdict(outcome, f"output {number} is {got}, but the reference's is {want}")
    return None


def compare_values(
    expected: Sequence[Expected], outputs: Sequence[torch.Tensor], lowered: Lowered | None = None
) -> Verdict:
    """Compare outputs whose structure agrees already.

    Args:
        expected: The reference's outputs.
        outputs: The candidate's, on the same device as the expected values.
        lowered: Asked for downgraded golden outputs when an error is between the strict and the
            wide limit.
    """
    facts = []
    for number, (want, output) in enumerate(zip(expected, outputs, strict=True)):
        flat = output.contiguous().flatten()
        if output.is_complex():
            flat = torch.view_as_real(output.contiguous()).flatten()
        if want.exact:
            # The mask counts two NaN as equal, torch.equal does not.
            if not torch.equal(want.values, flat) and bool((mask := differing(want, flat)).any()):
                return _wrong(number, want, flat, mask, {})
            continue
        errors = _errors_of(want, flat)
        rms = errors.rms(flat.numel())
        fact = {
            "max_abs_error": errors.absolute,
            "rms_error": rms,
            "reference_max_abs_error": want.reference_abs,
            "reference_rms_error": want.reference_rms,
        }
        if not errors.finite or not _allowed(want, errors, rms, limits_of(want)):
            return _wrong(number, want, flat, differing(want, flat), fact)
        if (
            lowered is not None
            and not _allowed(want, errors, rms, STRICT, by_tolerance=False)
            and (found := _downgrade(want, flat, number, lowered))
        ):
            text = (
                f"output {number}: computed in less precision than {want.spec.dtype}: its error "
                f"(rms {rms:.2e}, the reference's own {want.reference_rms:.2e}) is that of {found}"
            )
            return Verdict(Outcome.WRONG_VALUES, text, {**fact, "downgrade": found})
        facts.append(fact)
    return Verdict(Outcome.PASSED, details={"errors": facts})


def limits_of(want: Expected) -> tuple[float, float]:
    """The rule's (a, c) for an output's dtype."""
    return WIDE if torch.finfo(want.spec.torch_dtype).eps <= 2e-7 else NARROW


def wrong_at(want: Expected, places: Sequence[int], got: torch.Tensor) -> str:
    """Whether values at some flat positions of an output break the rule; says the first, or "".

    Args:
        want: The output.
        places: Flat positions; a complex number counts as two.
        got: What was found there, in float64.
    """
    at = torch.tensor(list(places), device=want.values.device)
    values = want.values[at].to("cpu", torch.float64)
    if want.special is not None:
        whole = want.values.double()
        whole[want.special[0]] = want.special[1].double()
        values = whole[at].cpu()
    same = (values == got) | (values.isnan() & got.isnan())
    if want.exact:
        bound = torch.zeros_like(values)
    elif want.tolerance is not None:
        bound = want.tolerance[0] + want.tolerance[1] * values.abs()
    else:
        factor, floor = limits_of(want)
        eps = torch.finfo(want.spec.torch_dtype).eps
        bound = (factor * want.reference_worst + floor * eps) * (values.abs() + want.scale)
    near = ((got - values).abs() <= bound) & values.isfinite()
    wrong = torch.nonzero(~(same | near)).flatten().tolist()
    if not wrong:
        return ""
    place, found, right = places[wrong[0]], float(got[wrong[0]]), float(values[wrong[0]])
    return f"{len(wrong)} of {len(places)} elements seen: at {place} {found:.8g}, not {right:.8g}"


def _allowed(
    want: Expected,
    errors: _Errors,
    rms: float,
    limits: tuple[float, float],
    *,
    by_tolerance: bool = True,
) -> bool:
    if by_tolerance and want.tolerance is not None:
        return errors.within
    factor, floor = limits[0], limits[1] * torch.finfo(want.spec.torch_dtype).eps
    return (
        errors.worst <= factor * want.reference_worst + floor
        and rms <= factor * want.reference_rms + floor * want.scale
    )


def _errors_of(want: Expected, flat: torch.Tensor) -> _Errors:
    if want.special is None:
        return _errors(flat, want.values, want.scale, want.tolerance)
    places, values = want.special
    same = torch.allclose(flat[places].double(), values.double(), rtol=0, atol=0, equal_nan=True)
    errors = _errors(flat.index_fill(0, places, 0.0), want.values, want.scale, want.tolerance)
    errors.finite &= same
    return errors


def _errors(
    flat: torch.Tensor,
    values: torch.Tensor,
    scale: float,
    tolerance: tuple[float, float] | None,
) -> _Errors:
    found = _Errors()
    for start in range(0, flat.numel(), CHUNK):
        want = values[start : start + CHUNK]
        error = (flat[start : start + CHUNK].double() - want).abs_()
        size = want.abs()
        if tolerance is not None:
            found.within &= bool((error <= tolerance[0] + tolerance[1] * size).all())
        # One transfer from the device for all of them.
        sums = torch.stack(
            (error.max(), (error / (size + scale)).nan_to_num_(0.0).max(), error.square().sum())
        ).tolist()
        found.finite &= math.isfinite(sums[0])
        found.absolute = max(sums[0], found.absolute)
        found.worst = max(found.worst, sums[1])
        found.square_sum += sums[2]
    return found


def differing(want: Expected, flat: torch.Tensor) -> torch.Tensor:
    """Mask of the elements that break the rule, in the output's shape; `flat` are all of them."""
    shape = want.spec.shape
    if want.exact:
        values = want.values
        wrong = values != flat
        if values.is_floating_point():
            wrong &= ~(torch.isnan(values) & torch.isnan(flat))
    else:
        size = want.values.abs()
        if want.tolerance is not None:
            bound = want.tolerance[0] + want.tolerance[1] * size
        else:
            factor, floor = limits_of(want)
            eps = torch.finfo(want.spec.torch_dtype).eps
            bound = (factor * want.reference_worst + floor * eps) * (size + want.scale)
        wrong = ~((flat.double() - want.values).abs() <= bound)
        if want.special is not None:
            places, values = want.special
            got = flat[places]
            wrong[places] = (got != values) & ~(torch.isnan(got) & torch.isnan(values))
    if want.spec.torch_dtype.is_complex:
        return wrong.view(*shape, 2).any(-1)
    return wrong.view(shape)


def _wrong(
    number: int, want: Expected, flat: torch.Tensor, mask: torch.Tensor, fact: dict[str, Any]
) -> Verdict:
    values = want.values
    if want.special is not None:
        values = values.clone()
        values[want.special[0]] = want.special[1].double()
    text, where = describe_mismatch(mask, values, flat, number)
    if fact:
        text += (
            f"\nlargest error {fact['max_abs_error']:.3e} (the reference's own in "
            f"{want.spec.dtype}: {fact['reference_max_abs_error']:.3e}), rms "
            f"{fact['rms_error']:.3e} (its own {fact['reference_rms_error']:.3e}), "
            f"rms of the output {want.scale:.3e}"
        )
    return Verdict(Outcome.WRONG_VALUES, text, {**fact, **where})


def _downgrade(want: Expected, flat: torch.Tensor, number: int, lowered: Lowered) -> str:
    """Name the rounding of inputs whose effect the error resembles; empty when there is none."""
    error = flat.double() - want.values
    if want.special is not None:
        error[want.special[0]] = 0.0
    for name, golden in lowered():
        predicted = golden[number].double().contiguous().flatten() - want.values
        predicted = predicted.nan_to_num_(0.0, 0.0, 0.0)
        if want.special is not None:
            predicted[want.special[0]] = 0.0
        size = float(error.norm() * predicted.norm())
        cosine = float(error @ predicted) / size if size > 0 else 0.0
        if cosine > RESEMBLANCE and cosine * math.sqrt(error.numel()) > RESEMBLANCE_SIGMAS:
            return name
    return ""


def _nesting(tree: Tree) -> Any:
    """Structure alone; a list and a tuple of outputs count as the same."""
    try:
        ((kind, content),) = tree.items()
        if kind == "dict":
            return [[key, _nesting(value)] for key, value in content]
        if kind in ("list", "tuple"):
            return [_nesting(value) for value in content]
        return "tensor" if kind == "tensor" else ["value", content]
    except (AttributeError, TypeError, ValueError, RecursionError):
        return "unreadable"


def _words(tree: Tree, specs: Sequence[TensorSpec]) -> str:
    tensors = ", ".join(str(s) for s in specs) or "no tensor"
    kind = next(iter(tree), "") if isinstance(tree, dict) else ""
    return tensors if kind == "tensor" else f"{kind} of {tensors}"
