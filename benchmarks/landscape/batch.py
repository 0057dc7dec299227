"""Measure many points: built by several confined processes at once, timed one at a time.

Each process has a thread here that gives it a point to build; what is built waits for the device.
One thread, the caller's, takes the built ones in turn: check, then rounds of batches against the
fastest baseline, as the judge times candidates (`fitness.timing`), with nobody else at work on the
device. Compiling goes on meanwhile, on other processors: on the CPU it waits.
"""

from __future__ import annotations

import queue
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.landscape.child import Setting
from benchmarks.landscape.lattice import Point
from benchmarks.landscape.records import Record
from fitness import baselines, timing
from fitness.baselines import BaselineClient, BaselineTable
from fitness.batches import Batches, ProcessSubject
from fitness.children import BaselineProcess
from fitness.clocks import ClockError
from fitness.lease import DeviceLease
from fitness.pace import Pacemaker, Silence
from fitness.pool import PRELOAD, environment
from fitness.rounds import Rounds
from fitness.sandbox.layers import Layer
from fitness.sandbox.limits import Limits
from fitness.sandbox.zygote import Zygote
from fitness.spec import EvaluationSpec
from fitness.subject import Timed
from fitness.toolchains import registry
from populations.errors import WorkerDied, WorkerError, WorkerTimeout
from populations.outcome import Outcome

_START_LIMIT_S = 240.0
_CHECK_LIMIT_S = 15.0
_BATCH_LIMIT_S = 10.0
# A point's first calls before its rounds: they load what is loaded late.
_WARM_MS = 1.0
# Calls of a batch: so many, or fewer where a call takes long.
_CALLS = (3, 4)
_LONG_CALL_MS = 0.3
# A process that never gets ready is started so many times again.
_STARTS = 3


class Failed(Exception):
    """A point's own fault: how it ends."""

    def __init__(self, outcome: Outcome, text: str, *, spoilt: bool) -> None:
        """Say how; `spoilt` when its process is of no more use."""
        super().__init__(text)
        self.outcome = outcome
        self.spoilt = spoilt


class Child:
    """One confined process (`benchmarks.landscape.child`)."""

    def __init__(self, zygote: Zygote, setting: Setting, limits: Limits) -> None:
        """Start it; returns before it is ready."""
        self._child = zygote.spawn("benchmarks.landscape.child:serve", setting, limits=limits)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._child.pid

    def begin(self, lease: DeviceLease) -> None:
        """Wait until it has its inputs, and have it put them on the device. Raises WorkerError."""
        self._child.channel.receive(_START_LIMIT_S)
        with lease.shared():
            try:
                self.ask({"do": "begin"}, _START_LIMIT_S, Outcome.RUNTIME_ERROR)
            except Failed as failed:
                raise WorkerError(f"a process cannot begin: {failed}") from failed

    def ask(self, question: dict[str, Any], limit_s: float, failure: Outcome) -> dict[str, Any]:
        """Put a question. Raises Failed when the point fails."""
        try:
            self._child.channel.send(question)
            return self._received(limit_s, failure)
        except WorkerTimeout as error:
            text = f"no answer within {limit_s:g} s"
            raise Failed(Outcome.TIMEOUT, text, spoilt=True) from error
        except WorkerDied as error:
            text = f"the process ended: {self.end()}"
            raise Failed(Outcome.RUNTIME_ERROR, text, spoilt=True) from error

    def pace(self, pacemaker: Pacemaker) -> None:
        """Have it follow a pacemaker; `paced` is due at the end."""
        self._child.channel.send({"do": "pace"})
        self._child.channel.send_fds([pacemaker.theirs.fileno()])
        pacemaker.handed_over()

    def paced(self) -> None:
        """Take the answer that ends `pace`. Raises Failed."""
        try:
            self._received(_BATCH_LIMIT_S, Outcome.RUNTIME_ERROR)
        except WorkerError as error:
            raise Failed(Outcome.RUNTIME_ERROR, f"while timed: {error}", spoilt=True) from error

    def end(self) -> str:
        """Kill it and all that it started; the last of what it printed."""
        try:
            self._child.kill()
        except WorkerError as error:
            return str(error)
        return self._child.output()[-400:]

    def _received(self, limit_s: float, failure: Outcome) -> dict[str, Any]:
        answer: dict[str, Any] = self._child.channel.receive(limit_s)
        if error := answer.get("error"):
            text = f"{error['type']}: {error['text']}"
            if error["type"] == "OutOfResources":
                raise Failed(Outcome.RUNTIME_ERROR, text, spoilt=False)
            # A device that was given a bad address answers nothing more in that process.
            raise Failed(failure, text, spoilt=failure is not Outcome.COMPILE_ERROR)
        return answer


@dataclass(slots=True)
class _Built:
    """A point that is built and waits to be timed, or that failed before."""

    point: Point
    build_s: float
    child: Child
    failed: Failed | None = None
    taken: threading.Event = field(default_factory=threading.Event)


class Batch:
    """Measures points on one machine; a context manager.

    Attributes:
        table: The baselines, measured; None before `points` was begun.
    """

    def __init__(
        self,
        spec: EvaluationSpec,
        *,
        workers: int,
        rng: random.Random,
        progress: Callable[[str], None],
    ) -> None:
        """Start the server process.

        Args:
            spec: How to measure; one workload.
            workers: Processes that build.
            rng: Source of seeds and orders.
            progress: Told a line now and then.
        """
        self.table: BaselineTable | None = None
        self._spec = spec
        self._workers = workers
        self._rng = rng
        self._progress = progress
        self._stack = ExitStack()
        self._folder = Path(tempfile.mkdtemp(prefix="evo-landscape-"))
        self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        spec.cache_dir.mkdir(parents=True, exist_ok=True)
        preload: tuple[str, ...] = (*PRELOAD, "benchmarks.landscape.child")
        if spec.device == "cuda" or spec.interpret_triton:
            preload = (*preload, "triton")
        environ = environment(spec)
        self._zygote = self._stack.enter_context(Zygote(preload=preload, environment=environ))
        self._model_seed = rng.getrandbits(31)
        self._timed_seeds = (rng.getrandbits(62),)
        self._check_seed = rng.getrandbits(62)
        self._lease = self._stack.enter_context(closing(DeviceLease(spec.torch_device)))
        self._todo: queue.SimpleQueue[Point | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[_Built | WorkerError] = queue.SimpleQueue()
        self._over = False

    def layers(self) -> dict[str, Layer]:
        """What confines the points here."""
        return dict(self._zygote.layers())

    def points(self, points: Sequence[Point], deadline: float) -> Iterator[Record]:
        """Measure points, in about this order; ends early when `time.monotonic` says so.

        Raises:
            ProblemError: The problem is at fault.
            WorkerError: A process of ours failed for good.
        """
        for point in points:
            self._todo.put(point)
        for number in range(self._workers):
            self._todo.put(None)
            thread = threading.Thread(target=self._build_all, name=f"builder-{number}", daemon=True)
            thread.start()
        with (
            BaselineProcess(self._zygote, self._spec, self._model_seed) as server,
            closing(server.client()) as client,
        ):
            self.table = self._measured_baselines(client)
            (workload,) = self._spec.workloads
            baseline = self.table.fastest(workload)
            client.warm(baseline, workload, self._timed_seeds)
            with client.subjects([baseline], workload, self._timed_seeds, self._rng) as theirs:
                with self._lease.exclusive():
                    reference = timing.probed(theirs, self._spec)[0]
                if self._spec.device == "cuda":
                    reference.calls = _CALLS[1]
                for _ in points:
                    try:
                        built = self._ready.get(timeout=max(deadline - time.monotonic(), 0.01))
                    except queue.Empty:
                        return
                    if isinstance(built, WorkerError):
                        raise built
                    yield self._measured(built, reference)
                    if time.monotonic() > deadline:
                        return

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._stack.close()

    def _measured_baselines(self, client: BaselineClient) -> BaselineTable:
        return baselines.measure(client, self._spec, self._lease, self._rng, self._progress)

    def _child(self) -> Child:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        setting = Setting(
            spec=self._spec,
            model_seed=self._model_seed,
            check_seed=self._check_seed,
            timed_seeds=self._timed_seeds,
            folder=str(folder),
        )
        limits = Limits(
            memory_bytes=self._spec.memory_bytes,
            processes=self._spec.processes,
            # Of a process that compiles hundreds of kernels.
            cpu_s=3600.0,
            write=(folder,),
            devices=self._spec.device == "cuda",
        )
        return Child(self._zygote, setting, limits)

    def _build_all(self) -> None:
        """One process' thread: build what is to be built until nothing is left."""
        child: Child | None = None
        try:
            while (point := self._todo.get()) is not None and not self._over:
                child = child or self._started()
                built = self._tried(child, point)
                self._ready.put(built)
                built.taken.wait()
                if built.failed is not None and built.failed.spoilt:
                    child.end()
                    child = None
        except WorkerError as error:
            # Whoever closes this ends processes that are at work.
            if not self._over:
                self._ready.put(error)
        except Exception as error:  # noqa: BLE001 - a thread must not end in silence
            self._ready.put(WorkerError(f"a builder's thread failed: {error!r}"))
        finally:
            if child is not None:
                child.end()

    def _started(self) -> Child:
        """A process that is ready. Raises WorkerError when none gets there."""
        for attempt in range(_STARTS):
            child = self._child()
            try:
                with closing(DeviceLease(self._spec.torch_device)) as lease:
                    child.begin(lease)
                return child
            except WorkerError as error:
                said = child.end()
                self._progress(f"a process did not start: {error}: {said}")
                if self._over or attempt == _STARTS - 1:
                    raise
        raise AssertionError

    def _tried(self, child: Child, point: Point) -> _Built:
        start, failed = time.monotonic(), None
        try:
            self._build(child, point)
        except Failed as error:
            failed = error
        return _Built(point, time.monotonic() - start, child, failed)

    def _build(self, child: Child, point: Point) -> None:
        limit_s = self._spec.build_limit_s
        # On the CPU nobody may be timing while a compiler runs.
        with ExitStack() as stack:
            if self._spec.device == "cpu":
                lease = stack.enter_context(closing(DeviceLease(self._spec.torch_device)))
                stack.enter_context(lease.shared())
            if point.language == "cpp":
                built = registry.build(point.candidate(0), self._spec, self._zygote)
                if isinstance(built, registry.BuildFailure):
                    raise Failed(Outcome.COMPILE_ERROR, built.text[:600], spoilt=False)
            child.ask({"do": "build", "source": point.source}, limit_s, Outcome.COMPILE_ERROR)

    def _measured(self, built: _Built, reference: Timed) -> Record:
        held = self._lease.exclusive_s
        rounds: Rounds | None = None
        try:
            if built.failed is None:
                with self._lease.exclusive():
                    rounds = self._timed(built, reference)
        except Failed as failed:
            built.failed = failed
        finally:
            built.taken.set()
        return _record(built, rounds, reference.name, self._lease.exclusive_s - held)

    def _timed(self, built: _Built, reference: Timed) -> Rounds:
        child = built.child
        answer = child.ask({"do": "check"}, _CHECK_LIMIT_S, Outcome.RUNTIME_ERROR)
        if answer["outcome"] != Outcome.PASSED:
            raise Failed(Outcome(answer["outcome"]), answer["text"], spoilt=False)
        pacemaker = Pacemaker()
        child.pace(pacemaker)
        try:
            ask = pacemaker.batch
            batches = Batches(lambda r: ask(r, _BATCH_LIMIT_S), self._rng, device=self._spec.device)
            subject = ProcessSubject(batches, "point", child.pid)
            ours = Timed(subject, self._spec)
            if self._spec.device == "cpu":
                ours.probe()
            else:
                call_ms = min(subject.batch(2, _WARM_MS))
                ours.calls = _CALLS[0] if call_ms > _LONG_CALL_MS else _CALLS[1]
            rounds = timing.measure([ours, reference], self._spec, self._rng, trusted=True)
        except Silence as error:
            pacemaker.close()
            child.paced()
            raise Failed(Outcome.RUNTIME_ERROR, f"while timed: {error}", spoilt=True) from error
        except ClockError as error:
            raise Failed(Outcome.CHEATED, str(error), spoilt=True) from error
        finally:
            pacemaker.close()
        child.paced()
        return rounds


def _record(built: _Built, rounds: Rounds | None, baseline: str, device_s: float) -> Record:
    point, failed = built.point, built.failed
    if rounds is None:
        assert failed is not None  # noqa: S101 - one of both is there
        return Record(
            digest=point.digest,
            variant=point.variant,
            values=dict(point.values),
            outcome=str(failed.outcome),
            text=" ".join(str(failed).split())[:600],
            build_s=built.build_s,
            device_s=device_s,
        )
    return Record(
        digest=point.digest,
        variant=point.variant,
        values=dict(point.values),
        outcome=str(Outcome.PASSED),
        candidate_ms=rounds.median_ms("point"),
        baseline_ms=rounds.median_ms(baseline),
        log_ratios=rounds.log_ratios(baseline),
        build_s=built.build_s,
        device_s=device_s,
    )
