"""The process that holds the baselines: one of our own, trusted, long-lived.

It serves one channel per judge and does one thing at a time. Each baseline is compiled when it is
first asked for; inductor's cache makes that quick in a later process.
"""

from __future__ import annotations

import select
import socket
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch

from fitness.bench import Stopwatch, prepare, settings_of, synchronise
from fitness.exchange import flatten, spec_of, unflatten
from fitness.pace import follow
from fitness.problem import COMPILED_SUFFIX, Problem
from fitness.sandbox.channel import Channel
from fitness.spec import EvaluationSpec
from populations.errors import ProblemError, WorkerError

_ANSWER_LIMIT_S = 120.0
# Prepared calls kept, with their inputs on the device; judges replace their seeds now and then.
_KEPT_CALLS = 64
# Shapes that one model may be compiled for; every workload is one.
_SHAPES = 4096


def serve(channel: Channel, argument: Mapping[str, Any]) -> None:
    """Run the baselines' process until its channel ends.

    Args:
        channel: To the pool. Each set of descriptors that comes holds one further channel.
        argument: `spec` (an `EvaluationSpec`) and `model_seed`.
    """
    spec: EvaluationSpec = argument["spec"]
    prepare(settings_of(spec))
    baselines = _Baselines(spec, argument["model_seed"])
    judges: dict[int, Channel] = {}
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == channel.fileno():
                try:
                    (new,) = channel.receive_fds(_ANSWER_LIMIT_S)
                except WorkerError:
                    return
                judges[new] = Channel(socket.socket(fileno=new), trusted=True)
                poll.register(new, select.POLLIN)
                continue
            try:
                judge = judges[descriptor]
                judge.send(baselines.answer(judge.receive(_ANSWER_LIMIT_S), judge))
            except WorkerError:
                poll.unregister(descriptor)
                judges.pop(descriptor).close()


class _Baselines:
    """Answers questions."""

    def __init__(self, spec: EvaluationSpec, model_seed: int) -> None:
        self._spec = spec
        self._device = spec.torch_device
        self._seed = model_seed
        self._problem: Problem | None = None
        self._stopwatch = Stopwatch(self._device)
        self._models: dict[tuple[str, torch.dtype | None], Any] = {}
        self._calls: OrderedDict[tuple[str, str, int], Callable[[], Any]] = OrderedDict()

    def answer(self, question: dict[str, Any], channel: Channel) -> dict[str, Any]:
        descriptors = channel.receive_fds(_ANSWER_LIMIT_S) if question["do"] == "pace" else []
        try:
            if self._problem is None:
                self._problem = Problem(self._spec.problem)
            if question["do"] == "contents":
                return self._contents(self._problem)
            if question["do"] == "warm":
                self._call(self._problem, *question["key"])
                return {}
            calls = [self._call(self._problem, *key) for key in question["keys"]]
            batch = self._stopwatch.batch
            follow(descriptors[0], lambda number, n, settle_ms: batch(calls[number], n, settle_ms))
            return {}
        except ProblemError as error:
            return {"problem_error": str(error)}
        except Exception as error:  # noqa: BLE001 - a compiler may raise anything; it is reported
            lines = str(error).strip().splitlines()
            return {"failed": f"{type(error).__name__}: {lines[0] if lines else ''}"}

    def _contents(self, problem: Problem) -> dict[str, Any]:
        workloads = problem.selected(self._spec.workloads, "workload")
        sizes = {
            name: sum(spec_of(t).nbytes for t in flatten(problem.inputs(name, 0))[1])
            for name in workloads
        }
        return {
            "workloads": sorted(workloads, key=lambda name: sizes[name]),
            "baselines": list(problem.selected(self._spec.baselines, "baseline")),
        }

    def _call(self, problem: Problem, baseline: str, workload: str, seed: int) -> Any:
        """A call of a baseline, compiled and warm."""
        key = (baseline, workload, seed)
        if key in self._calls:
            self._calls.move_to_end(key)
            return self._calls[key]
        inputs = problem.inputs(workload, seed)
        model = self._model(problem, baseline, problem.shared_dtype(inputs))
        tree, tensors = flatten(inputs)
        arguments = unflatten(tree, [t.to(self._device) for t in tensors])

        def call() -> Any:
            return model(*arguments)

        with torch.no_grad():
            for _ in range(2):
                call()
        synchronise(self._device)
        self._calls[key] = call
        if len(self._calls) > _KEPT_CALLS:
            self._calls.popitem(last=False)
        return call

    def _model(self, problem: Problem, baseline: str, dtype: torch.dtype | None) -> Any:
        key = (baseline, dtype)
        if key in self._models:
            return self._models[key]
        name = baseline.removesuffix(COMPILED_SUFFIX)
        own = name if name in problem.baseline_classes else ""
        model: Any = problem.model(self._seed, own).to(self._device, dtype)
        if baseline == "max-autotune-no-cudagraphs":
            model = _compiled(model, mode=baseline)
        elif baseline == "compile" or baseline != name:
            model = _compiled(model)
        self._models[key] = model
        return model


def _compiled(model: torch.nn.Module, **options: Any) -> Any:
    # Importing the compiler takes a second and 100 MB: not before it is needed.
    dynamo: Any = torch._dynamo.config  # noqa: SLF001 - its public place
    dynamo.recompile_limit = dynamo.accumulated_recompile_limit = _SHAPES
    # Static shapes, a workload each, are the fastest that compiling can be.
    return torch.compile(model, dynamic=False, **options)
