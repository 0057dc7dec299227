"""The confined process that builds, checks and times many points of one landscape.

A judge starts a new process for every candidate, because it believes nothing that a candidate says.
Here all candidates are the project's own edits of its own seeds, so one process takes many of them:
inputs and the reference's answers are made once, and a kernel is compared on the device. What a
process is confined by is the same.

    begin   make the inputs' copies on the device, and the reference's answers
    build   run the module, construct the model, compile its kernels without launching them
    check   call it once and compare with the reference in float64
    pace    time batches of calls as asked over a socket of its own (`fitness.pace`)
"""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from fitness.answers import outputs_of
from fitness.bench import Stopwatch, Timed, poison, prepare, seed, settings_of, synchronise
from fitness.contents import drawn, on_device
from fitness.correctness import compare_structure, compare_values, expect
from fitness.exchange import flatten, fresh, spec_of, unflatten
from fitness.pace import follow
from fitness.problem import Problem
from fitness.reference import Reference
from fitness.spec import EvaluationSpec
from fitness.variation import Contents
from populations.errors import WorkerError

_TEXT_LIMIT = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a process is to measure on.

    Attributes:
        spec: How; its one workload.
        model_seed: Decides the reference's state.
        check_seed: Of the inputs of the check.
        timed_seeds: Of the sets of inputs of timed calls, the baselines' too.
        folder: Private, writable.
    """

    spec: EvaluationSpec
    model_seed: int
    check_seed: int
    timed_seeds: tuple[int, ...]
    folder: str


def serve(channel: Any, setting: Setting) -> None:
    """Answer questions until the channel ends.

    Args:
        channel: To the owner. Questions are `{"do": NAME, ...}`; an answer has `error` when the
            point failed.
        setting: What to measure on.
    """
    bench = _Bench(setting)
    channel.send({"ready": True})
    while True:
        try:
            question = channel.receive(None)
        except WorkerError:
            os._exit(0)
        try:
            answer = getattr(bench, f"do_{question['do']}")(question, channel)
        except WorkerError:
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - a kernel may raise anything
            answer = {"error": _explained(error)}
        channel.send(answer)


class _Bench:
    def __init__(self, setting: Setting) -> None:
        self._spec = spec = setting.spec
        self._device = spec.torch_device
        self._seed = setting.model_seed
        self._folder = Path(setting.folder)
        self._home = os.sched_getaffinity(0)
        self._number = 0
        self._model: Any = None
        # Each process is a user of its own and can write nobody else's.
        os.environ["TRITON_CACHE_DIR"] = str(self._folder / "triton")
        os.environ["HOME"] = os.environ["TMPDIR"] = str(self._folder)
        tempfile.tempdir = str(self._folder)
        os.chdir(self._folder)
        self._problem = problem = Problem(spec.problem)
        (self._workload,) = spec.workloads
        self._inputs = problem.inputs(self._workload, setting.check_seed)
        self._dtype = problem.shared_dtype(self._inputs)
        self._state = problem.model(self._seed).state_dict()
        self._drawn = drawn(problem, self._workload, setting.timed_seeds)

    def do_begin(self, _question: Mapping[str, Any], _channel: Any) -> dict[str, Any]:
        """Use the device for the first time: until here nobody who times was disturbed."""
        prepare(settings_of(self._spec))
        self._stopwatch = Stopwatch(self._device)
        problem = self._problem
        self._reference = Reference(problem, self._device, self._seed)
        result = self._reference.run(self._inputs, self._dtype)
        self._output_tree = result.tree
        self._expected = tuple(
            expect(native, golden, exact=problem.exact, tolerances=problem.tolerances)
            for native, golden in zip(result.native, result.golden, strict=True)
        )
        self._outputs = tuple(e.spec for e in self._expected)
        self._tree, tensors = flatten(self._inputs)
        self._tensors = [fresh(t, spec_of(t), self._device) for t in tensors]
        tree, sets, changes = self._drawn
        specs = [spec_of(t) for t in sets[0]]
        self._contents = Contents(tree, on_device(sets, specs, self._device), changes)
        synchronise(self._device)
        return {}

    def do_build(self, question: Mapping[str, Any], _channel: Any) -> dict[str, Any]:
        """Construct a point's model and compile its kernels; answers the seconds it took."""
        start = time.monotonic()
        self._model = None
        module = self._loaded(question["source"])
        seed(self._seed, self._device)
        model = module.ModelNew(*self._problem.init_inputs(self._seed))
        if self._state:
            model.load_state_dict(self._state)
        self._model = model.to(self._device, self._dtype)
        # In the interpreter, and on the CPU, nothing is compiled by a call.
        if self._device != "cpu":
            with _compiling() as kernels, torch.no_grad():
                self._model(*self._arguments())
            for kernel in kernels:
                # Loads it: one that needs more than the device has says so here.
                kernel._init_handles()  # noqa: SLF001 - there is no other way without a launch
        return {"seconds": time.monotonic() - start}

    def do_check(self, _question: Mapping[str, Any], _channel: Any) -> dict[str, Any]:
        """Call it and compare; answers `outcome` and `text`."""
        poison(self._outputs, self._device)
        with torch.no_grad():
            result = self._model(*self._arguments())
        synchronise(self._device)
        tree, outputs = outputs_of(result)
        found = [spec_of(t) for t in outputs]
        wrong = compare_structure(self._output_tree, self._outputs, tree, found)
        verdict = wrong or compare_values(
            self._expected, outputs, lambda: self._reference.lowered(self._inputs, self._dtype)
        )
        return {"outcome": str(verdict.outcome), "text": verdict.text[:_TEXT_LIMIT]}

    def do_pace(self, _question: Mapping[str, Any], channel: Any) -> dict[str, Any]:
        """Time batches until the socket is closed."""
        (descriptor,) = channel.receive_fds(10.0)
        model, arguments = self._model, self._contents.arguments
        timed = Timed(lambda: model(*arguments), self._contents, self._outputs)
        follow(descriptor, lambda request: self._stopwatch.batch(timed, request), self._home)
        return {}

    def _arguments(self) -> list[Any]:
        return list(unflatten(self._tree, [t.detach() for t in self._tensors]))

    def _loaded(self, source: str) -> ModuleType:
        # Triton reads a kernel's text from its file.
        self._number += 1
        path = self._folder / f"point_{self._number}.py"
        path.write_text(source, encoding="utf-8")
        linecache.cache[str(path)] = (
            len(source),
            None,
            source.splitlines(keepends=True),
            str(path),
        )
        module = ModuleType("candidate")
        module.__file__ = str(path)
        sys.modules["candidate"] = module
        exec(compile(source, str(path), "exec"), module.__dict__)
        return module


@contextlib.contextmanager
def _compiling() -> Iterator[list[Any]]:
    """Launches of Triton kernels compile and are left out; gives the kernels."""
    from triton.runtime.jit import JITFunction

    launch, kernels = JITFunction.run, []

    def compile_only(self: Any, *args: Any, **options: Any) -> Any:
        kernel = launch(self, *args, **{**options, "warmup": True})
        kernels.append(kernel)
        return kernel

    JITFunction.run = compile_only
    try:
        yield kernels
    finally:
        JITFunction.run = launch


def _explained(error: BaseException) -> dict[str, str]:
    text = str(error)
    if len(text) > _TEXT_LIMIT:
        text = f"{text[: _TEXT_LIMIT // 2]} [...] {text[-_TEXT_LIMIT // 2 :]}"
    return {"type": type(error).__name__, "text": text}
