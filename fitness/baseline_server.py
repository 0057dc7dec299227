"""The process that holds the baselines: one of our own, trusted, long-lived.

It serves one channel per judge and does one thing at a time. Each baseline is compiled when it is
first asked for; inductor's cache makes that quick in a later process.
"""

from __future__ import annotations

import os
import select
import socket
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from fitness.bench import Stopwatch, Timed, prepare, settings_of, synchronise
from fitness.cases import room_bytes
from fitness.contents import drawn, on_device
from fitness.exchange import TensorSpec, flatten, spec_of, unflatten
from fitness.pace import follow
from fitness.problem import COMPILED_SUFFIX, Problem
from fitness.sandbox.channel import Channel
from fitness.spec import EvaluationSpec
from fitness.variation import Contents
from populations.errors import ProblemError, WorkerError

_ANSWER_LIMIT_S = 120.0
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
        self._home = os.sched_getaffinity(0)
        self._limit_bytes = room_bytes(spec.device)
        self._problem: Problem | None = None
        self._stopwatch = Stopwatch(self._device)
        self._models: dict[tuple[str, torch.dtype | None], Any] = {}
        self._kept: OrderedDict[
            tuple[str, tuple[int, ...]], tuple[Contents, torch.dtype | None]
        ] = OrderedDict()
        self._outputs: dict[tuple[str, str], tuple[TensorSpec, ...]] = {}
        self._warm: set[tuple[str, str, torch.dtype | None]] = set()

    def answer(self, question: dict[str, Any], channel: Channel) -> dict[str, Any]:
        descriptors = channel.receive_fds(_ANSWER_LIMIT_S) if question["do"] == "pace" else []
        try:
            if self._problem is None:
                self._problem = Problem(self._spec.problem)
            if question["do"] == "contents":
                return self._contents(self._problem)
            if question["do"] == "warm":
                self._timed(self._problem, *question["key"])
                return {}
            timed = [self._timed(self._problem, *key) for key in question["keys"]]
            batch = self._stopwatch.batch
            follow(
                descriptors[0],
                lambda request: batch(timed[request.subject], request),
                self._home,
            )
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

    def _timed(self, problem: Problem, baseline: str, workload: str, seeds: Sequence[int]) -> Timed:
        """A baseline on a workload, compiled and warm."""
        contents, dtype = self._drawn(problem, workload, tuple(seeds))
        model, arguments = self._model(problem, baseline, dtype), contents.arguments
        timed = Timed(
            lambda: model(*arguments), contents, self._outputs.get((baseline, workload), ())
        )
        # Static shapes: every workload is compiled for itself.
        if (baseline, workload, dtype) not in self._warm:
            with torch.no_grad():
                for number in range(2):
                    contents.refresh(number, number + 1)
                    result = timed.call()
            outputs = tuple(spec_of(t) for t in flatten(result)[1])
            self._outputs[baseline, workload] = outputs
            timed = replace(timed, outputs=outputs)
            synchronise(self._device)
            self._warm.add((baseline, workload, dtype))
        return timed

    def _drawn(
        self, problem: Problem, workload: str, seeds: tuple[int, ...]
    ) -> tuple[Contents, torch.dtype | None]:
        """The inputs from these seeds, and what models are cast to for them."""
        key = (workload, seeds)
        if key not in self._kept:
            tree, sets, changes = drawn(problem, workload, seeds)
            dtype = problem.shared_dtype(unflatten(tree, sets[0]))
            specs = [spec_of(t) for t in sets[0]]
            contents = Contents(tree, on_device(sets, specs, self._device), changes)
            self._kept[key] = contents, dtype
            # Judges replace their seeds now and then; a pool of sets may be large.
            total = sum(c.nbytes for c, _ in self._kept.values())
            while total > self._limit_bytes and len(self._kept) > 1:
                total -= self._kept.popitem(last=False)[1][0].nbytes
        self._kept.move_to_end(key)
        return self._kept[key]

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
