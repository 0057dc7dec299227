"""What runs inside a candidate's process: load it, call it on the judge's inputs, time it.

The process is confined, disposable and not believed: its answers are data that the judge checks,
its outputs are compared in another process, and its clock is checked against the judge's. Questions
come as JSON with a nonce that the answer must repeat.

    settle      nothing: it waits for its candidate from here on
    prepare     make a context on the device
    construct   load the source, build `ModelNew` and give it the reference's state; descriptor: the
                constants
    case        call it on one or more cases in the same memory, write the outputs; descriptors:
                inputs of each, all outputs
    state       change entries of its state in place; descriptor: their contents
    pace        time batches of calls, each on other inputs, as asked over a socket of its own;
                descriptors: the socket, the sets of inputs
    profile     call it under the profiler; descriptor: the inputs
    resources   what its compiled kernels say of themselves
"""

from __future__ import annotations

import faulthandler
import gc
import linecache
import os
import random
import sys
import tempfile
import traceback
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import torch

from fitness.answers import write
from fitness.bench import Stopwatch, Timed, make_context, prepare, seed, synchronise
from fitness.compiling import Compiling
from fitness.contents import on_device
from fitness.diagnostics.loaded import kernels
from fitness.exchange import TensorSpec, private_mapping, total_bytes, unflatten, views
from fitness.pace import follow
from fitness.profiled import profile_calls
from fitness.series import call_series
from fitness.variation import Change, Contents
from populations.errors import WorkerError

MODULE = "candidate"
_TEXT_LIMIT = 4000


def run(channel: Any, argument: dict[str, Any]) -> None:
    """Serve one candidate until the channel ends.

    Args:
        channel: To the judge.
        argument: `settings` (of `fitness.bench.prepare`) and `folder` (private and writable).
    """
    faulthandler.enable()
    try:
        runner = _Runner(argument, channel)
        while True:
            question = channel.receive(None)
            channel.send(_answer(runner, question, channel))
    except WorkerError:
        # The judge is done with this candidate.
        os._exit(0)


def _answer(runner: _Runner, question: dict[str, Any], channel: Any) -> dict[str, Any]:
    try:
        with runner.compiling(question):
            found = getattr(runner, f"do_{question['do']}")(question, channel)
    except WorkerError:
        raise
    except BaseException as error:  # noqa: BLE001 - a candidate may raise anything, SystemExit too
        found = {"error": _explain(error, runner.path)}
    sys.stdout.flush()
    sys.stderr.flush()
    return {**found, "nonce": question["nonce"]}


class _Runner:
    def __init__(self, argument: dict[str, Any], channel: Any) -> None:
        self._settings = argument["settings"]
        self._device: str = self._settings["device"]
        self._seed = 0
        self._home = os.sched_getaffinity(0)
        # A name and not a path: every text that a path keeps is one more page of one's own.
        self._folder: str = argument["folder"]
        self._models: dict[str, torch.nn.Module] = {}
        self._state = ""
        # Names in the reference's state -> names in the candidate's; empty where they differ.
        self._own_names: dict[str, str] = {}
        self.path = f"{self._folder}/{MODULE}.py"
        os.chdir(self._folder)
        self._use_private_caches()
        prepare(self._settings)
        self._stopwatch = Stopwatch(self._device)
        # Whoever has no use for Triton has not imported it.
        self._compiling = Compiling(channel) if "triton" in sys.modules else None

    def compiling(self, question: dict[str, Any]) -> AbstractContextManager[None]:
        """Within this, compilations are announced; not while the judge listens elsewhere."""
        if self._compiling is None or question["do"] == "pace":
            return nullcontext()
        return self._compiling.announced(question["nonce"])

    def _use_private_caches(self) -> None:
        # What a candidate compiles must not be found by another one.
        for name in ("TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "TORCH_EXTENSIONS_DIR"):
            os.environ[name] = f"{self._folder}/{name.lower()}"
        os.environ["HOME"] = os.environ["TMPDIR"] = self._folder
        # Whoever asked before the fork has had another answer.
        tempfile.tempdir = self._folder

    def do_settle(self, _question: dict[str, Any], _channel: Any) -> dict[str, Any]:
        """Do nothing; the answer says that all that comes before a candidate is done."""
        return {}

    def do_prepare(self, _question: dict[str, Any], _channel: Any) -> dict[str, Any]:
        """Make a context on the device and load what every call needs, before anything runs."""
        make_context(self._device)
        return {}

    def do_construct(self, question: dict[str, Any], channel: Any) -> dict[str, Any]:
        """Load the module, build the model for the first dtype."""
        (constants,) = channel.receive_fds(10.0)
        self._seed = question["seed"]
        random.seed(self._seed)
        specs = [TensorSpec.from_json(s) for s in question["specs"]]
        tensors = [v.clone() for v in views(private_mapping(constants, total_bytes(specs)), specs)]
        os.close(constants)
        count = len(specs) - len(question["names"])
        self._arguments = unflatten(question["tree"], tensors[:count])
        self._given = dict(zip(question["names"], tensors[count:], strict=True))
        self._model_class = load(question["source"], self.path).ModelNew
        self._model(question["dtype"])
        synchronise(self._device)
        return {"state": self._state}

    def do_case(self, question: dict[str, Any], channel: Any) -> dict[str, Any]:
        """Call the model on a series of cases."""
        descriptors = channel.receive_fds(10.0)
        return call_series(self._model(question["dtype"]), question, descriptors, self._device)

    def do_state(self, question: dict[str, Any], channel: Any) -> dict[str, Any]:
        """Change entries of the model's state in place; not done where it has none of its own."""
        (descriptor,) = channel.receive_fds(10.0)
        specs = [TensorSpec.from_json(s) for s in question["specs"]]
        given = views(private_mapping(descriptor, total_bytes(specs)), specs)
        os.close(descriptor)
        if not self._own_names:
            return {"done": False}
        own = self._model(question["dtype"]).state_dict()
        write([own[self._own_names[name]] for name in question["names"]], given)
        synchronise(self._device)
        return {"done": True}

    def do_profile(self, question: dict[str, Any], channel: Any) -> dict[str, Any]:
        """Call the model under the profiler; see `fitness.profile`."""
        (descriptor,) = channel.receive_fds(10.0)
        return profile_calls(self._model(question["dtype"]), question, descriptor, self._device)

    def do_resources(self, _question: dict[str, Any], _channel: Any) -> dict[str, Any]:
        """Look at what Triton compiled; see `fitness.diagnostics.loaded`."""
        return {"kernels": kernels(sys.modules[MODULE])}

    def do_pace(self, question: dict[str, Any], channel: Any) -> dict[str, Any]:
        """Time batches of calls on a workload."""
        descriptor, memory = channel.receive_fds(10.0)
        specs = [TensorSpec.from_json(s) for s in question["specs"]]
        every = specs * question["sets"]
        tensors = views(private_mapping(memory, total_bytes(every)), every)
        os.close(memory)
        sets = [tensors[i : i + len(specs)] for i in range(0, len(every), max(len(specs), 1))]
        changes = [Change(c) for c in question["changes"]]
        contents = Contents(question["tree"], on_device(sets or [[]], specs, self._device), changes)
        model, arguments = self._model(question["dtype"]), contents.arguments
        outputs = tuple(TensorSpec.from_json(s) for s in question["outputs"])
        timed = Timed(lambda: model(*arguments), contents, outputs)
        follow(descriptor, lambda request: self._stopwatch.batch(timed, request), self._home)
        return {}

    def _model(self, dtype: str) -> torch.nn.Module:
        """The candidate cast to a dtype; built anew for each: not every module can be copied."""
        if dtype in self._models:
            return self._models[dtype]
        # KernelBench's rule, seeded alike at construction, holds in any case: a candidate that
        # packs its weights while it is constructed then packs the right ones.
        seed(self._seed, self._device)
        model = self._model_class(*self._arguments)
        if not callable(model):
            raise TypeError(f"ModelNew must be a torch.nn.Module, but is {type(model).__name__}")
        self._state = self._give_state(model)
        if isinstance(model, torch.nn.Module):
            model.to(self._device, getattr(torch, dtype) if dtype else None)
        self._models[dtype] = model
        return self._models[dtype]

    def _give_state(self, model: Any) -> str:
        if not self._given:
            return "none"
        own = model.state_dict() if isinstance(model, torch.nn.Module) else {}
        if {n: tuple(t.shape) for n, t in own.items()} == {
            n: tuple(t.shape) for n, t in self._given.items()
        }:
            model.load_state_dict(self._given)
            self._own_names = {name: name for name in self._given}
            return "copied"
        # Under other names, but already with the values that the reference has: the seed's.
        pairs = list(zip(self._given.values(), own.values(), strict=False))
        if len(own) == len(self._given) and all(torch.equal(a, b.cpu()) for a, b in pairs):
            self._own_names = dict(zip(self._given, own, strict=True))
            return "seeded, in the reference's order"
        return "seeded"


def load(source: str, path: str) -> ModuleType:
    """Run the candidate as a module with a file: Triton reads a kernel's text from there."""
    with open(path, "wb") as file:  # noqa: PTH123 - see `_folder`
        file.write(source.encode())
    # The text is known: nobody needs to read the file again to show a line of it.
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    module = ModuleType(MODULE)
    module.__file__ = path
    sys.modules[MODULE] = module
    exec(compile(source, path, "exec"), module.__dict__)
    if not hasattr(module, "ModelNew"):
        raise AttributeError("the module defines no ModelNew")
    return module


def _explain(error: BaseException, path: str) -> dict[str, Any]:
    """What was raised, and where in the candidate's own text."""
    lines = [
        f"line {frame.lineno}, in {frame.name}: {(frame.line or '').strip()}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == path
    ]
    if isinstance(error, SyntaxError) and error.filename == path:
        lines.append(f"line {error.lineno}: {(error.text or '').strip()}")
    text = str(error)
    if len(text) > _TEXT_LIMIT:
        text = f"{text[: _TEXT_LIMIT // 2]}\n[...]\n{text[-_TEXT_LIMIT // 2 :]}"
    out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    gc.collect()
    return {
        "type": type(error).__name__,
        "text": text,
        "lines": lines[-8:],
        "out_of_memory": out_of_memory,
    }
