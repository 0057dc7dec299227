"""Judges at work on this machine: an `Evaluator` over one server process and its children.

    search process ── zygote (torch imported, nothing run)
                        ├── baselines           one process, ours
                        ├── judges              ours; each asks the zygote for
                        └── runner              one per candidate, confined, disposable

The search process itself never imports torch. A judge that dies is replaced and its candidate is
tried once more; what a candidate does wrong is an outcome and never reaches this module.
"""

from __future__ import annotations

import os
import queue
import random
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import closing, suppress
from dataclasses import replace
from types import TracebackType

from fitness import baselines
from fitness.baselines import BaselineTable
from fitness.binaries import Binaries, Repeat
from fitness.busy import STRETCH_S, TRIES
from fitness.children import (
    BaselineProcess,
    JudgeProcess,
    Progress,
    Served,
    SharedBaselines,
    silent,
)
from fitness.elites import Elites
from fitness.evaluator import NOWHERE
from fitness.findings import Findings, look, require
from fitness.lease import DeviceLease
from fitness.report import FinalReport
from fitness.rounds import Draws
from fitness.sandbox.layers import Layer
from fitness.sandbox.zygote import Zygote
from fitness.spec import EvaluationSpec
from populations.errors import (
    EvoError,
    SeedError,
    WorkerDied,
    WorkerError,
    WorkerTimeout,
)
from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation

# What the server process imports before it forks, so that no child has to.
PRELOAD = (
    "torch",
    "fitness.worker",
    "fitness.baseline_server",
    "fitness.runner",
    "fitness.native",
    "fitness.rehearsal",
)
# Waiting for the device is no fault of a judge, so that a judge may take long.
_PATIENCE_S = 900.0
_VERIFY_LIMIT_S = 3600.0
_CEILINGS_LIMIT_S = 120.0


class LocalPool:
    """Judges candidates on this machine; implements `fitness.evaluator.Evaluator`.

    `submit`, `evaluate_once`, `measure_baselines` and `verify` may be called from any thread; use
    it as a context manager, or call `close`.
    """

    def __init__(self, spec: EvaluationSpec, *, secret: int | None = None) -> None:
        """Start the server process; returns before it is ready.

        Args:
            spec: How to judge.
            secret: Seed of everything drawn here; from the operating system when None, which is
                what keeps inputs unknown to candidates. For tests.
        """
        self.spec = replace(
            spec, problem=spec.problem.absolute(), cache_dir=spec.cache_dir.absolute()
        )
        self._rng = random.Random(secrets.randbits(64) if secret is None else secret)
        self._model_seed = self._rng.getrandbits(31)
        self.spec.cache_dir.mkdir(parents=True, exist_ok=True)
        preload: tuple[str, ...] = PRELOAD
        if spec.device == "cuda" or spec.interpret_triton:
            preload = (*preload, "triton")
        if spec.device == "cuda":
            preload = (*preload, "fitness.triton_ready")
        self.device_lines: tuple[str, ...] = ()
        """What the device is and what it reached at best, once baselines were measured."""
        self.device_facts: dict[str, int] = {}
        """What constraints on launch parameters may say of it, from then on."""
        self._zygote = Zygote(preload=preload, environment=environment(self.spec))
        self._lock = threading.Lock()
        self._measuring = threading.Lock()
        self._table: BaselineTable | None = None
        self._findings: Findings | None = None
        self._binaries = Binaries() if spec.reuse_binaries else None
        self._elites = Elites() if spec.diagnose else None
        self._shared = SharedBaselines(self._zygote, self.spec, self._model_seed)
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._workers: list[threading.Thread] = []
        self._closed = False

    def layers(self) -> Mapping[str, Layer]:
        """What confines candidates here: name -> layer, all of `fitness.sandbox.layers.NAMES`."""
        return self._zygote.layers()

    def measure_baselines(self, progress: Progress = silent) -> BaselineTable:
        """Compile and time every selected baseline on every selected workload, once per pool.

        Takes seconds per compiled baseline, and a few more for a problem seen for the first time.

        Args:
            progress: Told one line before each step.

        Raises:
            ProblemError: The problem file is at fault, or no baseline works on a workload.
            WorkerError: A process of ours failed.
        """
        with self._measuring:
            if self._table is None:
                self._know_the_device()
                with (
                    BaselineProcess(self._zygote, self.spec, self._model_seed) as server,
                    closing(server.client()) as client,
                    closing(DeviceLease(self.spec.torch_device)) as lease,
                ):
                    self._table = baselines.measure(client, self.spec, lease, self._rng, progress)
            return self._table

    def examine_problem(self) -> Findings:
        """Find out whether the problem can tell a right kernel from a wrong one, once per pool.

        Raises:
            ProblemError: It cannot, and the spec does not allow it; or its reference fails.
            WorkerError: A process of ours failed.
        """
        with self._measuring:
            if self._findings is None:
                self._findings = look(self._zygote, self.spec, self._model_seed)
        require(self._findings, self.spec)
        return self._findings

    def adopt_baselines(self, times_ms: Mapping[str, Mapping[str, float]]) -> None:
        """Take earlier measurements for the choice of the fastest baseline of each workload.

        A resumed run need not measure again: candidates are paired with that baseline anew anyway.
        """
        with self._lock:
            self._table = BaselineTable(times_ms, {})

    def adopt_judged(self, kernels: Iterable[Kernel]) -> None:
        """Take what an earlier session judged: what compiles to the same code, who was the best."""
        known = tuple(kernels)
        if self._binaries:
            self._binaries.adopt(known)
        if self._elites:
            self._elites.adopt(known)

    def submit(
        self, candidate: Candidate, *, hopeless: Mapping[str, float] = NOWHERE
    ) -> Future[Evaluation]:
        """Queue one candidate; returns at once. Measures the baselines first if nobody did.

        Args:
            candidate: What is to be judged.
            hopeless: Workload -> speedup below which timing ends early; see
                `fitness.evaluator.Evaluator`.
        """
        future: Future[Evaluation] = Future()
        if self._closed:
            future.cancel()
            return future
        self._start_workers()
        self._queue.put(_Job(candidate, future, dict(hopeless)))
        return future

    def evaluate_once(self, candidate: Candidate) -> Evaluation:
        """Judge one candidate and wait for it. Raises WorkerError when our machinery failed."""
        return self.submit(candidate).result()

    def check(self, seeds: tuple[Candidate, ...] = ()) -> tuple[Evaluation, ...]:
        """Judge the first kernels of a search; all of them must pass.

        Raises:
            ProblemError: The problem file is at fault, or degenerate (`examine_problem`).
            SeedError: A seed does not pass; says which stage, and where it differs.
        """
        self.examine_problem()
        self.measure_baselines()
        evaluations = tuple(f.result() for f in [self.submit(s) for s in seeds])
        for seed, evaluation in zip(seeds, evaluations, strict=True):
            if not evaluation.passed:
                text = " ".join(evaluation.diagnostics.split())
                raise SeedError(
                    f"{seed.note or f'seed {seed.number}'}: {evaluation.outcome}: {text}"
                )
        return evaluations

    def verify(
        self,
        candidate: Candidate,
        *,
        seed: Candidate | None = None,
        workloads: tuple[str, ...] = (),
        pairs: int = 60,
        seeds: int = 3,
        timing_budget_s: float = 2.0,
        progress: Progress = silent,
    ) -> FinalReport:
        """Ask a champion everything on fresh seeds; time it against every baseline, in one session.

        Args:
            candidate: The champion.
            seed: The kernel it descends from, timed in the same rounds.
            workloads: Which ones; empty: all of the problem's, not only those searched on.
            pairs: Rounds per workload, at least.
            seeds: Checks per workload.
            timing_budget_s: Time per workload and pair of subjects.
            progress: Told one line per step.

        Raises:
            ProblemError: A workload does not exist.
            WorkerError: A process of ours failed.
        """
        spec = replace(
            self.spec,
            workloads=workloads,
            pairs=pairs,
            seeds=seeds,
            timing_budget_s=timing_budget_s,
            give_up_below=0.0,
            rigour="thorough",
        )
        self._know_the_device()
        with BaselineProcess(self._zygote, spec, self._model_seed) as server:
            with closing(server.client()) as client:
                contents = client.contents()
            names = tuple(contents["baselines"])
            # One process is asked about all workloads.
            asked = len(contents["workloads"])
            limit_s = spec.run_limit_s * (1 + asked) + TRIES * STRETCH_S * asked
            spec = replace(spec, run_limit_s=limit_s)
            with JudgeProcess(self._zygote, spec, self._model_seed, self._rng, server) as judge:
                content = (candidate, seed, names)
                report: FinalReport = judge.ask("verify", content, _VERIFY_LIMIT_S, progress)
                return report

    def against_itself(self, candidate: Candidate, workload: str, times: int) -> Iterator[Draws]:
        """Time a right kernel against itself as `verify` times it, several times, processes fresh.

        What would be reported of two kernels that are the same.

        Raises:
            WorkerError: A process of ours failed, or the kernel did.
        """
        with (
            BaselineProcess(self._zygote, self.spec, self._model_seed) as server,
            JudgeProcess(self._zygote, self.spec, self._model_seed, self._rng, server) as judge,
        ):
            for _ in range(times):
                yield judge.ask("itself", (candidate, workload), self._limit_s())

    def close(self) -> None:
        """End every process and drop queued work; futures left are cancelled. Callable twice."""
        self._closed = True
        self._zygote.close()
        for _ in self._workers:
            self._queue.put(None)
        for worker in self._workers:
            worker.join()
        self._workers.clear()
        self._shared.close()
        while not self._queue.empty():
            if job := self._queue.get():
                job.future.cancel()

    def __enter__(self) -> LocalPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _know_the_device(self) -> None:
        """Have the ceilings measured unless they are kept; without them one check is missing."""
        if self.spec.interpret_triton or self.device_lines:
            return
        child = self._zygote.spawn("fitness.ceilings:serve", {"spec": self.spec}, limits=None)
        with (
            Served(child),
            closing(DeviceLease(self.spec.torch_device)) as lease,
            lease.exclusive(),
            suppress(WorkerError),
        ):
            found = child.channel.receive_trusted(_CEILINGS_LIMIT_S)
            self.device_lines = tuple(found["lines"])
            self.device_facts = dict(found["facts"])

    def _start_workers(self) -> None:
        with self._lock:
            if self._workers:
                return
            for number in range(self.spec.workers):
                rng = random.Random(self._rng.getrandbits(64))
                worker = threading.Thread(
                    target=self._work, args=(rng,), name=f"judge-{number}", daemon=True
                )
                worker.start()
                self._workers.append(worker)

    def _work(self, rng: random.Random) -> None:
        """One judge's thread: hand it jobs, and replace it when it dies."""
        judge: JudgeProcess | None = None
        while (job := self._queue.get()) is not None:
            if self._closed or not job.future.set_running_or_notify_cancel():
                job.future.cancel()
                continue
            for attempt in (1, 2):
                try:
                    table = self.measure_baselines()
                    if judge is None:
                        judge = JudgeProcess(
                            self._zygote, self.spec, self._model_seed, rng, self._shared.server()
                        )
                    _finish(job.future, self._judged(judge, job, table))
                    break
                except (WorkerDied, WorkerTimeout) as error:
                    if judge is not None:
                        judge.close()
                        judge = None
                    self._shared.renew()
                    if attempt == 2 or self._closed:
                        _fail(job.future, error)
                        break
                except EvoError as error:
                    _fail(job.future, error)
                    break
                except Exception as error:  # noqa: BLE001 - a thread must not end in silence
                    _fail(job.future, WorkerError(f"a judge's thread failed: {error!r}"))
                    break
        if judge is not None:
            judge.close()

    def _judged(self, judge: JudgeProcess, job: _Job, table: BaselineTable) -> Evaluation:
        known = self._binaries.known(job.candidate) if self._binaries else frozenset()
        bar = self._elites.bar(job.candidate) if self._elites else None
        content = (job.candidate, table, job.hopeless, known, bar)
        answer: Evaluation | Repeat = judge.ask("evaluate", content, self._limit_s())
        if self._elites and isinstance(answer, Evaluation):
            self._elites.judged(job.candidate, answer)
        found = self._binaries or Binaries()
        # What may have been timed but roughly stands for itself alone.
        return found.settled(job.candidate, answer, kept=not job.hopeless)

    def _limit_s(self) -> float:
        return self.spec.build_limit_s + 2 * self.spec.run_limit_s + _PATIENCE_S


class _Job:
    def __init__(
        self, candidate: Candidate, future: Future[Evaluation], hopeless: Mapping[str, float]
    ) -> None:
        self.candidate = candidate
        self.future = future
        self.hopeless = hopeless


def _finish(future: Future[Evaluation], evaluation: Evaluation) -> None:
    with suppress(InvalidStateError):
        future.set_result(evaluation)


def _fail(future: Future[Evaluation], error: EvoError) -> None:
    with suppress(InvalidStateError):
        future.set_exception(error)


def environment(spec: EvaluationSpec) -> dict[str, str]:
    """The environment of all processes of a pool, beside what the zygote sets itself."""
    cache = spec.cache_dir
    # Compiling in the process itself leaves no pool of processes behind; a GPU's many variants
    # are worth a pool, which ends with the process.
    compilers = 1 if spec.device == "cpu" else min(16, os.cpu_count() or 1)
    found = {
        "EVO_CACHE_DIR": str(cache),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "TRITON_CACHE_DIR": str(cache / "triton"),
        "TORCHINDUCTOR_COMPILE_THREADS": str(compilers),
        "OMP_NUM_THREADS": str(spec.threads),
        # Idle threads spin for about 0.1 ms, so that the next call finds them awake, and not for
        # the hundred times longer that is the default: they would run into the other side's batch.
        "GOMP_SPINCOUNT": "3000",
    }
    if spec.interpret_triton and spec.device == "cpu":
        found["TRITON_INTERPRET"] = "1"
    return found
