"""The tensors a model holds: how a candidate names them, and how to call the model with others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTensor:
    """One tensor of a model.

    Attributes:
        name: Its dotted name.
        expression: How a method of the model reaches it: "self.net[0].weight".
        tensor: The tensor.
        is_attribute: Whether it is a plain attribute, neither parameter nor buffer.
    """

    name: str
    expression: str
    tensor: torch.Tensor
    is_attribute: bool


def state_of(model: torch.nn.Module) -> list[StateTensor]:
    """All parameters, buffers and tensors that are plain attributes of a module."""
    named = [(n, t, False) for n, t in (*model.named_parameters(), *model.named_buffers())]
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, torch.Tensor):
                named.append((f"{path}.{name}" if path else name, value, True))
    return [
        StateTensor(name=n, expression=_expression(model, n), tensor=t, is_attribute=a)
        for n, t, a in named
    ]


def call_with(
    model: torch.nn.Module,
    state: Sequence[StateTensor],
    tensors: Sequence[torch.Tensor],
    arguments: Sequence[Any],
) -> Any:
    """Call the model with other tensors in place of its state; it is itself again afterwards."""
    given = list(zip(state, tensors, strict=True))
    with _attributes(model, {s.name: t for s, t in given if s.is_attribute}):
        return torch.func.functional_call(
            model, {s.name: t for s, t in given if not s.is_attribute}, tuple(arguments)
        )


@contextmanager
def _attributes(model: torch.nn.Module, values: Mapping[str, torch.Tensor]) -> Iterator[None]:
    before = []
    for path, value in values.items():
        owner, _, name = path.rpartition(".")
        holder = model.get_submodule(owner)
        before.append((holder, name, holder.__dict__[name]))
        holder.__dict__[name] = value
    try:
        yield
    finally:
        for holder, name, value in before:
            holder.__dict__[name] = value


def _expression(model: torch.nn.Module, name: str) -> str:
    text = "self"
    module: Any = model
    indexed = torch.nn.Sequential | torch.nn.ModuleList | torch.nn.ParameterList
    for part in name.split("."):
        if part.isidentifier():
            text += f".{part}"
        elif part.isdigit() and isinstance(module, indexed):
            text += f"[{part}]"
        else:
            text = f'getattr({text}, "{part}")'
        module = getattr(module, part)
    return text
