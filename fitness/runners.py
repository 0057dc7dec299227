"""Where a judge's candidates get their processes from, one fresh and confined process for each."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fitness.attendant import Attendant
from fitness.baselines import BaselineTable
from fitness.lease import DeviceLease
from fitness.process import CandidateProcess, Fault
from fitness.sandbox.limits import system_paths
from fitness.sandbox.zygote import Spawner
from fitness.spec import EvaluationSpec
from fitness.vacancy import Vacancy, library_folder, work_folder
from populations.kernel import Candidate

# Calls of the fastest baseline on every workload that a candidate's time limit holds at least: its
# checks and the fewest rounds, for one that is half as fast.
_LIMIT_CALLS = 60


class Runners:
    """Starts and ends candidates' processes."""

    def __init__(
        self,
        spec: EvaluationSpec,
        spawner: Spawner,
        lease: DeviceLease,
        *,
        attendant: Attendant | None = None,
        model_seed: int,
    ) -> None:
        """Start nothing yet.

        Args:
            spec: How to judge.
            spawner: Starts the processes.
            lease: The device.
            attendant: Begins and ends the processes of `ready` beside whoever asks; None: they are
                waited for.
            model_seed: Decides the state of every model.
        """
        self._spec = spec
        self._spawner = spawner
        self._lease = lease
        self._attendant = attendant
        self._model_seed = model_seed
        self._folder = work_folder()
        self._readable = readable_paths(spec)

    def start(self, candidate: Candidate, table: BaselineTable | None = None) -> CandidateProcess:
        """Start a candidate's process; it has not run anything of the candidate yet.

        Args:
            candidate: The candidate.
            table: The measured baselines: where they take long, a candidate may too.
        """
        return self._process(candidate, self._limits_of(table), None)

    def ready(self, candidate: Candidate, table: BaselineTable) -> CandidateProcess:
        """The same, with a context where there is a device; to be ended by `end`.

        Takes and gives back the lease as it needs it. Raises Fault.
        """
        if self._attendant is not None:
            spec = self._limits_of(table)
            # What did not exist when a process was begun, a folder of libraries, it may not read.
            kind = spec, _identities((*self._readable, library_folder(spec)))
            vacancy = self._attendant.take(kind)
            with self._lease.shared():
                process = self._process(candidate, spec, vacancy)
            self._attendant.begin(kind, lambda: self._vacancy(spec))
            return process
        if self._spec.device == "cpu":
            with self._lease.shared():
                return self.start(candidate, table)
        # A context takes a quarter of a second, and making one does not disturb who times.
        process = self.start(candidate, table)
        try:
            process.prepare()
        except Fault:
            process.end()
            raise
        return process

    def rest(self) -> None:
        """Return when no process is being begun or ended any more; call it before a timing."""
        if self._attendant is not None:
            self._attendant.rest()

    def end(self, process: CandidateProcess) -> None:
        """End a process that is asked nothing any more."""
        if self._attendant is not None:
            self._attendant.end(process)
            return
        with self._lease.shared():
            process.end()

    def close(self) -> None:
        """Remove what is left of the candidates."""
        if self._attendant is not None:
            self._attendant.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _limits_of(self, table: BaselineTable | None) -> EvaluationSpec:
        slowest_ms = sum(min(t.values()) for t in table.times_ms.values()) if table else 0.0
        limit_s = max(self._spec.run_limit_s, _LIMIT_CALLS * slowest_ms / 1e3)
        return replace(self._spec, run_limit_s=limit_s)

    def _process(
        self, candidate: Candidate, spec: EvaluationSpec, vacancy: Vacancy | None
    ) -> CandidateProcess:
        return CandidateProcess(
            candidate,
            spec,
            self._spawner,
            seed=self._model_seed,
            folder=self._folder,
            read=self._readable,
            aside=self._lease.aside,
            vacancy=vacancy,
        )

    def _vacancy(self, spec: EvaluationSpec) -> Vacancy:
        return Vacancy(spec, self._spawner, folder=self._folder, read=self._readable)


def _identities(paths: Sequence[Path]) -> tuple[tuple[int, int] | None, ...]:
    """Which files paths lead to now; None for a path that leads nowhere."""
    found: list[tuple[int, int] | None] = []
    for path in paths:
        try:
            status = path.stat()
            found.append((status.st_dev, status.st_ino))
        except OSError:
            found.append(None)
    return tuple(found)


def readable_paths(spec: EvaluationSpec) -> tuple[Path, ...]:
    """What a candidate's process may read: the system, the packages, Triton's launchers.

    A checkout of this project is on Python's path, and runs with their results may lie in it: of
    it only the packages that a runner imports are left.
    """
    # Of what is kept between runs, compiled baselines are nobody's to read; libraries in C++ are
    # loaded by their names (`Vacancy`).
    return tuple(dict.fromkeys([*system_paths(), spec.cache_dir / "triton"]))
