"""Run the reference: in the declared dtype, in float64, and with inputs rounded on purpose.

Float64 is forced on models that name a dtype themselves (`x.float()`, `dtype=torch.float32`): the
golden values would otherwise carry the very error they are to measure.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from fitness.answers import Traits, traits_of
from fitness.crowding import no_room, ran_out
from fitness.exchange import Tree, flatten, unflatten
from fitness.problem import Problem
from populations.errors import ProblemError

_NARROWER = frozenset((torch.float32, torch.float16, torch.bfloat16))
# Golden values further away from the reference than this (of the output's rms) are not golden:
# the model did something that does not carry over to float64.
_PLAUSIBLE = 0.2


@dataclass(frozen=True, slots=True)
class Result:
    """What the reference computes for one set of inputs.

    Attributes:
        tree: Structure of its outputs.
        native: Output tensors in the declared dtype.
        golden: The same from float64; None for an output that must be equal.
        method: How the golden values came about: "float64", "float64 where the model allows",
            "native" (no float64 run succeeded) or "equality".
        changed: Positions of the input tensors that it changes.
        traits: What the outputs in the declared dtype are beside their values.
        aliased: Positions of outputs that lie in the memory of an input or of the state.
    """

    tree: Tree
    native: list[torch.Tensor]
    golden: list[torch.Tensor | None]
    method: str
    changed: tuple[int, ...]
    traits: tuple[Traits, ...] = ()
    aliased: tuple[int, ...] = ()


class Reference:
    """The problem's `Model` on one device, with one fixed state."""

    def __init__(
        self,
        problem: Problem,
        device: str,
        seed: int,
        state: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """Prepare.

        Args:
            problem: Its `Model` is run.
            device: Where, as torch names it.
            seed: Decides the state of every model built.
            state: Entries that take the place of those.
        """
        self._problem = problem
        self._device = device
        self._seed = seed
        self._state = dict(state or {})
        self._models: dict[torch.dtype | None, torch.nn.Module] = {}

    def run(self, inputs: list[Any], dtype: torch.dtype | None) -> Result:
        """Compute the outputs for `inputs` (left as they are) with the model cast to `dtype`."""
        tree, tensors = flatten(inputs)
        given = [t.to(self._device, copy=True) for t in tensors]
        output_tree, native = self._call(self._model(dtype), tree, given)
        changed = tuple(
            i
            for i, (before, after) in enumerate(zip(tensors, given, strict=True))
            if not _same_bytes(before, after.to(before.device))
        )
        own = {_memory(t) for t in (*given, *self._model(dtype).state_dict().values())}
        traits = tuple(traits_of(t) for t in native)
        aliased = tuple(i for i, t in enumerate(native) if t.numel() and _memory(t) in own)
        wanted = [not self._problem.exact and _is_real(t) for t in native]
        chosen: list[torch.Tensor | None] = [None] * len(native)
        method = "equality"
        if any(wanted):
            golden, method = self._golden(tree, tensors, dtype, native, wanted)
            chosen = [g if w else None for g, w in zip(golden, wanted, strict=True)]
        return Result(output_tree, native, chosen, method, changed, traits, aliased)

    def shaken(
        self, inputs: list[Any], dtype: torch.dtype | None, seed: int
    ) -> list[torch.Tensor] | None:
        """Golden outputs after changing every floating input by one unit in its last place.

        The unit is that of float32 for narrower dtypes: a right kernel computes in it. Where this
        moves an output by about the error allowed, no right kernel can be asked for it.

        Args:
            inputs: Left as they are.
            dtype: What the model is cast to before it is made float64.
            seed: Decides which inputs grow and which shrink.
        """
        tree, tensors = flatten(inputs)
        generator = torch.Generator().manual_seed(seed & ((1 << 63) - 1))
        moved = [_moved(t, generator) for t in tensors]
        for forced in (True, False):
            model = copy.deepcopy(self._model(dtype))
            golden = self._in_float64(model, tree, moved, forced=forced)
            if golden is not None:
                return golden
        return None

    def lowered(
        self, inputs: list[Any], dtype: torch.dtype | None
    ) -> Iterator[tuple[str, list[torch.Tensor]]]:
        """Golden outputs after rounding float32 inputs and state, for each kind of rounding."""
        tree, tensors = flatten(inputs)
        for name, less in _LESS:
            rounded = [less(t) for t in tensors]
            model = copy.deepcopy(self._model(dtype))
            for value in model.state_dict().values():
                value.copy_(less(value))
            golden = self._in_float64(model, tree, rounded, forced=True)
            if golden is not None:
                yield name, golden

    def _model(self, dtype: torch.dtype | None) -> torch.nn.Module:
        if dtype not in self._models:
            model = self._problem.model(self._seed)
            with torch.no_grad():
                own = model.state_dict()
                for name, value in self._state.items():
                    own[name].copy_(value)
            self._models[dtype] = model.to(self._device, dtype)
        return self._models[dtype]

    def _call(
        self, model: torch.nn.Module, tree: Tree, tensors: Sequence[torch.Tensor]
    ) -> tuple[Tree, list[torch.Tensor]]:
        try:
            with torch.no_grad():
                return flatten(model(*unflatten(tree, tensors)))
        except Exception as error:
            if ran_out(error):
                raise no_room(self._device, "the reference") from error
            raise ProblemError(
                f"{self._problem.path}: Model.forward raised {type(error).__name__}: "
                f"{(str(error).splitlines() or [''])[0]}"
            ) from error

    def _golden(
        self,
        tree: Tree,
        tensors: Sequence[torch.Tensor],
        dtype: torch.dtype | None,
        native: Sequence[torch.Tensor],
        wanted: Sequence[bool],
    ) -> tuple[Sequence[torch.Tensor], str]:
        """The best golden values to be had, and how they came about."""
        for method, forced in (("float64", True), ("float64 where the model allows", False)):
            model = copy.deepcopy(self._model(dtype))
            golden = self._in_float64(model, tree, tensors, forced=forced)
            if golden is not None and _plausible(native, golden, wanted):
                return golden, method
        return [t.double() if t.is_floating_point() else t for t in native], "native"

    def _in_float64(
        self, model: torch.nn.Module, tree: Tree, tensors: Sequence[torch.Tensor], *, forced: bool
    ) -> list[torch.Tensor] | None:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            wide = [
                t.to(self._device, torch.float64 if t.is_floating_point() else t.dtype, copy=True)
                for t in tensors
            ]
            with torch.no_grad():
                arguments = unflatten(tree, wide)
                if forced:
                    with _InFloat64():
                        return flatten(model.double()(*arguments))[1]
                return flatten(model.double()(*arguments))[1]
        except Exception as error:
            if ran_out(error):
                # Without golden values the rule would ask for the reference's very bits.
                raise no_room(self._device, "the reference in float64") from error
            # The model may refuse float64 in any way; another follows.
            return None
        finally:
            torch.set_default_dtype(before)


class _InFloat64(TorchFunctionMode):
    """Turns every request for a narrower floating dtype into one for float64."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # the signature is torch's
        name = getattr(func, "__name__", "")
        if name in ("float", "half", "bfloat16"):
            return args[0].double()
        # `view` reinterprets bytes: another dtype would change the shape.
        if name != "view":
            args = tuple(_widened(a) for a in args)
            kwargs = {key: _widened(value) for key, value in (kwargs or {}).items()}
        return func(*args, **(kwargs or {}))


def _widened(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value in _NARROWER else value


def round_mantissa(tensor: torch.Tensor, bits: int, *, nearest: bool) -> torch.Tensor:
    """Keep `bits` bits of the mantissa of float32 values; other dtypes pass unchanged.

    Args:
        tensor: Any tensor; not changed.
        bits: 10 for TF32 and float16, 7 for bfloat16.
        nearest: Round to nearest even; otherwise towards zero.
    """
    if tensor.dtype is not torch.float32:
        return tensor
    dropped = 23 - bits
    # view(dtype) refuses a tensor that is not contiguous in its last dimension.
    pattern = tensor.detach().contiguous().view(torch.int32)
    if nearest:
        pattern = pattern + ((1 << (dropped - 1)) - 1) + ((pattern >> dropped) & 1)
    rounded = (pattern & -(1 << dropped)).view(torch.float32)
    return torch.where(torch.isfinite(tensor), rounded, tensor)


def two_parts(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of two bfloat16 numbers that is nearest to each float32 value; others pass unchanged.

    What products of bfloat16 parts ("bf16x3") make of their factors.
    """
    large = round_mantissa(tensor, 7, nearest=True)
    both = large + round_mantissa(tensor - large, 7, nearest=True)
    return torch.where(torch.isfinite(tensor), both, tensor)


# What less precision than float32 makes of inputs and weights.
_LESS: tuple[tuple[str, Callable[[torch.Tensor], torch.Tensor]], ...] = (
    (
        "inputs with 10 bits of mantissa (TF32 or float16)",
        partial(round_mantissa, bits=10, nearest=True),
    ),
    (
        "inputs cut to 10 bits of mantissa (TF32)",
        partial(round_mantissa, bits=10, nearest=False),
    ),
    (
        "inputs with 7 bits of mantissa (bfloat16)",
        partial(round_mantissa, bits=7, nearest=True),
    ),
    ("inputs in two parts of 7 bits of mantissa (bfloat16, three products)", two_parts),
)


def perturbed(value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Other values for an entry of the state, of the same size; positive where all are positive."""
    wide = value.detach().to("cpu", torch.float64)
    if bool((wide > 0).all()):
        new = wide * (1 + torch.rand(wide.shape, generator=generator, dtype=wide.dtype))
    else:
        size = float(wide.square().mean().sqrt()) or 0.1
        new = wide + size * torch.randn(wide.shape, generator=generator, dtype=wide.dtype)
    return new.to(value.device, value.dtype)


def _is_real(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _plausible(
    native: Sequence[torch.Tensor], golden: Sequence[torch.Tensor], wanted: Sequence[bool]
) -> bool:
    if len(native) != len(golden):
        return False
    for value, exact, needed in zip(native, golden, wanted, strict=True):
        if value.shape != exact.shape or (needed and not _is_real(exact)):
            return False
        if needed and value.numel():
            finite = torch.isfinite(value) & torch.isfinite(exact)
            difference = (value.to(exact.dtype) - exact)[finite]
            if difference.norm() > _PLAUSIBLE * exact[finite].norm() + 1e-30:
                return False
    return True


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _moved(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor
    eps = min(torch.finfo(tensor.dtype).eps, torch.finfo(torch.float32).eps)
    signs = torch.rand(tensor.shape, generator=generator) < 0.5
    factors = torch.where(signs, 1 - eps, 1 + eps).double().to(tensor.device)
    return tensor.detach().double() * factors


def _same_bytes(before: torch.Tensor, after: torch.Tensor) -> bool:
    # Compared as bytes: a NaN equals itself there.
    return torch.equal(
        before.contiguous().flatten().view(torch.uint8),
        after.contiguous().flatten().view(torch.uint8),
    )
