"""The reference as a graph of its state and inputs, and TorchInductor's code for the graph.

The reference is traced on fake tensors: nothing is computed, no device is needed. The tracing lies
below autograd, so that a reference that differentiates something is a graph like any other, and
names its inputs itself, so that each argument of the generated code is known by the name of the
state or input it stands for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch._inductor.codegen.wrapper import pexpr
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import (
    DimDynamic,
    ShapeEnv,
    StatelessSymbolicContext,
)
from torch.multiprocessing.reductions import StorageWeakRef

from fitness.exchange import Tree, flatten, unflatten
from fitness.inductor.lowering import constants, generated_code
from fitness.inductor.state import StateTensor, call_with, state_of
from fitness.inductor.wrapper import UntranslatableError
from fitness.problem import Problem
from fitness.spec import EvaluationSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One tensor that the generated code takes.

    Attributes:
        expression: Where a candidate finds it: "self.conv.weight", or the path of an input such as
            "[0]" or "[1]['mask']" (from the list of inputs).
        is_input: Whether it is an input rather than state.
        shape: Its extents as Python expressions of the graph's symbols.
        stride: Its strides, likewise.
        dtype: torch's name without the prefix.
    """

    expression: str
    is_input: bool
    shape: tuple[str, ...]
    stride: tuple[str, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What TorchInductor generates for some workloads.

    Attributes:
        workloads: The workloads that it serves.
        arguments: What its code takes, in order, after the constants.
        values: (path, value as Python text) of every input that is no tensor.
        symbols: Symbol -> (position of an argument, dimension) that gives its value.
        conditions: What must hold beside the shapes, as Python expressions of the symbols.
        output: Structure of the outputs.
        code: The generated module.
        constants: Expressions of the tensors that the code takes first: those that the reference
            writes down in its forward.
    """

    workloads: tuple[str, ...]
    arguments: tuple[Argument, ...]
    values: tuple[tuple[str, str], ...]
    symbols: Mapping[str, tuple[int, int]]
    conditions: tuple[str, ...]
    output: Tree
    code: str
    constants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Inputs:
    workload: str
    tree: Tree
    tensors: list[torch.Tensor]
    dtype: torch.dtype | None

    def kind(self) -> tuple[Any, ...]:
        """What inputs of one graph have in common."""
        return (
            repr(self.tree),
            str(self.dtype),
            *((str(t.dtype), t.dim(), t.is_contiguous(), _order(t)) for t in self.tensors),
        )


def graphs(problem: Problem, spec: EvaluationSpec) -> list[Graph]:
    """One graph for all selected workloads, or as few as they need.

    Raises UntranslatableError when the reference cannot be traced or compiled.
    """
    groups: dict[tuple[Any, ...], list[_Inputs]] = {}
    for name in problem.selected(spec.workloads, "workload"):
        values = problem.inputs(name, seed=0)
        dtype = problem.shared_dtype(values)
        tree, tensors = flatten(values)
        # Only shapes matter from here on: the contents of large inputs are let go.
        hollow = [torch.empty_strided(t.shape, t.stride(), dtype=t.dtype) for t in tensors]
        inputs = _Inputs(name, tree, hollow, dtype)
        groups.setdefault(inputs.kind(), []).append(inputs)
    found = []
    for group in groups.values():
        left = group
        while left:
            graph, left = _graph(problem, spec, left)
            found.append(graph)
    return found


def _graph(
    problem: Problem, spec: EvaluationSpec, group: list[_Inputs]
) -> tuple[Graph, list[_Inputs]]:
    """The graph of a group's first workload, and the workloads that it does not serve."""
    first = group[0]
    environment = ShapeEnv(duck_shape=False)
    mode = FakeTensorMode(shape_env=environment, allow_non_fake_inputs=True)
    model = problem.model(seed=0).to(first.dtype)
    state = state_of(model)
    fakes = [
        _fake(mode, tensor, _dynamic(group, i), spec.torch_device)
        for i, tensor in enumerate(first.tensors)
    ]
    # State without gradients: nothing is differentiated by it unless the reference says so, and
    # then `torch.enable_grad` and `requires_grad_` stand in its text.
    given = [_fake(mode, s.tensor.detach(), (), spec.torch_device) for s in state]
    call = _Call(model, state, first.tree)
    try:
        with mode, torch.no_grad():
            module = make_fx(call, tracing_mode="real", _allow_non_fake_inputs=True)(*given, *fakes)
        held = constants(module)
        code = generated_code(module, [*given, *fakes], spec)
    except UntranslatableError:
        raise
    except Exception as error:
        text = (str(error).strip().splitlines() or [""])[0][:400]
        raise UntranslatableError(f"{type(error).__name__}: {text}") from error
    arguments = [
        *(
            _argument(s.expression, t, environment, False)
            for s, t in zip(state, given, strict=True)
        ),
        *(
            _argument(p, t, environment, True)
            for p, t in zip(_paths(first.tree), fakes, strict=True)
        ),
    ]
    symbols = _symbols(arguments)
    conditions = _conditions(environment)
    served = [w for w in group if _serves(arguments, symbols, conditions, w, len(given))]
    if first not in served:
        raise UntranslatableError("the generated code does not fit the inputs it was made for")
    graph = Graph(
        workloads=tuple(w.workload for w in served),
        arguments=tuple(arguments),
        values=tuple(_values(first.tree)),
        symbols=symbols,
        conditions=conditions,
        output=call.output,
        code=code,
        constants=held,
    )
    return graph, [w for w in group if w not in served]


class _Call:
    """The model as a function of its state and input tensors that returns output tensors."""

    def __init__(self, model: torch.nn.Module, state: list[StateTensor], tree: Tree) -> None:
        self._model = model
        self._state = state
        self._tree = tree
        self.output: Tree = None

    def __call__(self, *tensors: torch.Tensor) -> list[torch.Tensor]:
        count = len(self._state)
        arguments = unflatten(self._tree, tensors[count:])
        result = call_with(self._model, self._state, tensors[:count], arguments)
        self.output, outputs = flatten_any(result)
        # Code generated for a graph gives back no views of its inputs, nor two of one tensor.
        taken = {_storage(t) for t in tensors}
        found = []
        for output in outputs:
            alone = output.clone() if _storage(output) in taken else output
            taken.add(_storage(output))
            found.append(alone)
        return found


def flatten_any(value: Any) -> tuple[Tree, list[torch.Tensor]]:
    """`flatten` for a value whose tensors are being traced."""
    tensors: list[torch.Tensor] = []

    def visit(item: Any) -> Tree:
        if isinstance(item, torch.Tensor):
            tensors.append(item)
            return {"tensor": len(tensors) - 1}
        if isinstance(item, list | tuple):
            return {"list" if isinstance(item, list) else "tuple": [visit(v) for v in item]}
        if isinstance(item, dict):
            return {"dict": [[k, visit(v)] for k, v in item.items()]}
        if item is None or isinstance(item, bool | int | float | str):
            return {"value": item}
        raise UntranslatableError(f"Model.forward returns a {type(item).__name__}")

    return visit(value), tensors


def _storage(tensor: torch.Tensor) -> int:
    # The address of the contents, which a fake tensor has none of.
    reference: Any = StorageWeakRef
    return int(reference(tensor.untyped_storage()).cdata)


def _order(tensor: torch.Tensor) -> tuple[int, ...]:
    strides = tensor.stride()
    return tuple(sorted(range(tensor.dim()), key=lambda d: (-strides[d], d)))


def _dynamic(group: list[_Inputs], position: int) -> tuple[int, ...]:
    """Dimensions of an input that differ among the workloads of a group."""
    shapes = [w.tensors[position].shape for w in group]
    return tuple(d for d in range(len(shapes[0])) if len({s[d] for s in shapes}) > 1)


def _fake(
    mode: FakeTensorMode, tensor: torch.Tensor, dynamic: tuple[int, ...], device: str
) -> torch.Tensor:
    kinds = [DimDynamic.DYNAMIC if d in dynamic else DimDynamic.STATIC for d in range(tensor.dim())]
    context: Any = StatelessSymbolicContext(dynamic_sizes=kinds)
    fake: torch.Tensor = mode.from_tensor(tensor, symbolic_context=context)
    if device != "cpu":
        with mode:
            fake = fake.to(device)
    return fake


def _argument(
    expression: str, tensor: torch.Tensor, environment: ShapeEnv, is_input: bool
) -> Argument:
    def text(extent: Any) -> str:
        if isinstance(extent, int):
            return str(extent)
        return str(pexpr(environment.simplify(extent.node.expr)))

    return Argument(
        expression=expression,
        is_input=is_input,
        shape=tuple(text(e) for e in tensor.shape),
        stride=tuple(text(e) for e in tensor.stride()),
        dtype=str(tensor.dtype).removeprefix("torch."),
    )


def _paths(tree: Tree, prefix: str = "") -> list[str]:
    """Where each input tensor lies in the list of inputs: "[0]", "[1]['mask']"."""
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return [prefix]
    if kind == "value":
        return []
    items = content if kind == "dict" else enumerate(content)
    return [path for key, item in items for path in _paths(item, f"{prefix}[{key!r}]")]


def _values(tree: Tree, prefix: str = "") -> list[tuple[str, str]]:
    """Where each input that is no tensor lies, and what it is."""
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return []
    if kind == "value":
        return [(prefix, repr(content))]
    items = content if kind == "dict" else enumerate(content)
    return [found for key, item in items for found in _values(item, f"{prefix}[{key!r}]")]


def _symbols(arguments: list[Argument]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for i, argument in enumerate(arguments):
        for d, extent in enumerate(argument.shape):
            if extent.isidentifier():
                found.setdefault(extent, (i, d))
    return found


def _conditions(environment: ShapeEnv) -> tuple[str, ...]:
    found = []
    for guard in environment.guards:
        expression = environment.simplify(guard.expr)
        if expression is not True and str(expression) != "True":
            found.append(str(pexpr(expression)))
    for symbol, bounds in environment.var_to_range.items():
        if environment.replacements.get(symbol) is None and bounds.lower > 2:
            found.append(f"{symbol} >= {bounds.lower}")
    return tuple(dict.fromkeys(found))


def _serves(
    arguments: list[Argument],
    symbols: Mapping[str, tuple[int, int]],
    conditions: tuple[str, ...],
    inputs: _Inputs,
    state: int,
) -> bool:
    tensors = dict(enumerate(inputs.tensors, start=state))
    try:
        values = {name: tensors[i].shape[d] for name, (i, d) in symbols.items()}
        scope = {"math": math, **values}
        if not all(eval(condition, scope) for condition in conditions):
            return False
        return all(
            tuple(eval(e, scope) for e in arguments[i].shape) == tuple(tensor.shape)
            and tuple(eval(e, scope) for e in arguments[i].stride) == tuple(tensor.stride())
            for i, tensor in tensors.items()
        )
    except (KeyError, NameError):
        return False
