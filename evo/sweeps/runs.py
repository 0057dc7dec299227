"""One run of a sweep: a process of its own, a directory of its own, and what it reached.

Runs are processes and not calls: what a run leaves behind (its confined zygote, its locks, memory,
a crash) ends with it, and Ctrl-C or a kill of the sweep reaches it as a signal that it knows how to
take: it ends in good order and can be resumed. The price is a start of about a second.

A run's directory is named by what is run, the point and the seed. So a run that was under way when
its worker died is resumed, by whichever worker comes to it, and one that has ended is never run
again, whoever asks.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evo.sweeps import RUN
from evo.sweeps.settings import SEED, Sweep
from evo.sweeps.space import Value, override
from evo.tables import one_line
from populations.errors import WorkerDied

if TYPE_CHECKING:
    from populations.analysis.course import Milestone

RESULT = "result.json"
LOG = "log.txt"
# Seconds between two looks at a run, and that one has to end in good order.
_LOOK_S = 0.2
_END_S = 60.0
# Exit status of a run that failed for a reason of its own machinery: tried once more.
_OWN_FAILURE = 1


@dataclass(frozen=True, slots=True)
class Result:
    """What one run reached.

    Attributes:
        seed: Its random seed.
        log_speedup: Natural logarithm of the champion's speedup, by its closing measurement where
            there is one; of the first kernel that passed where there is no champion.
        evaluations: Kernels judged.
        reached: Evaluations until a champion of the search had the sweep's target; None when none
            had, or there is no target.
        wall_s: Of the search, seconds.
        device_s: The device was held for timing, seconds.
    """

    seed: int
    log_speedup: float
    evaluations: int
    reached: int | None
    wall_s: float
    device_s: float

    def value(self, sweep: Sweep) -> float:
        """The sweep's metric; a target that was not reached counts as one evaluation more."""
        if sweep.maximize:
            return self.log_speedup
        return float(self.evaluations + 1 if self.reached is None else self.reached)


class Failed(Exception):
    """A run ended with an error; the text is its last line."""


class Interrupted(Exception):
    """A run was ended by a signal, or waits for answers of a model; it can be resumed."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Where a sweep's runs lie, and how one is started.

    Attributes:
        sweep: The sweep.
        directory: The sweep's directory.
        program: What Python is given before the arguments of `evo.run`.
    """

    sweep: Sweep
    directory: Path
    program: Sequence[str] = RUN

    def point(self, point: Mapping[str, Value]) -> Path:
        """The directory of a point: its name is a digest of what is set."""
        text = json.dumps([*self.sweep.fixed, *overrides(point)])
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return self.directory / "points" / digest

    def result(self, point: Mapping[str, Value], seed: int) -> Result | None:
        """What a run reached that has ended; None for any other."""
        try:
            text = (self.point(point) / f"seed-{seed}" / RESULT).read_text(encoding="utf-8")
        except OSError:
            return None
        return Result(**json.loads(text))

    def run(self, point: Mapping[str, Value], seed: int, *, alive: Callable[[], None]) -> Result:
        """What a run reached; it is begun, or resumed, where it has not ended.

        Args:
            point: What is varied.
            seed: The run's random seed.
            alive: Called every now and then while it goes on.

        Raises:
            Failed: It ended with an error.
            Interrupted: It was ended by a signal.
            EvoError: Its directory cannot be used.
        """
        folder = self.point(point)
        directory = folder / f"seed-{seed}"
        with _held(folder / "lock", alive):
            if (known := self.result(point, seed)) is not None:
                return known
            directory.mkdir(parents=True, exist_ok=True)
            (folder / "point.json").write_text(json.dumps(dict(point), indent=1) + "\n")
            self._carry_out(point, seed, directory, alive)
            result = read_result(directory, seed, target=self.sweep.table.target)
            draft = directory / f"{RESULT}.part"
            draft.write_text(json.dumps(asdict(result)) + "\n", encoding="utf-8")
            draft.replace(directory / RESULT)
            return result

    def _carry_out(
        self, point: Mapping[str, Value], seed: int, directory: Path, alive: Callable[[], None]
    ) -> None:
        from populations.store import Store

        # The run of a worker that was killed a moment ago may still be about to end.
        with _held(directory / "run.db.lock", alive):
            pass
        for _ in range(2):
            words = [str(self.sweep.experiment), "--dir", str(directory)]
            words += ["--resume"] if Store.begun(directory) else []
            for text in [*self.sweep.fixed, *overrides(point), override(SEED, seed)]:
                words += ["--set", text]
            status = self._process(words, directory / LOG, alive)
            if status == 0:
                return
            if status != _OWN_FAILURE:
                break
        said = _last_line(directory / LOG)
        if status in (130, 75, -signal.SIGTERM, -signal.SIGINT):
            raise Interrupted(said)
        raise Failed(said or f"exit status {status}")

    def _process(self, words: Sequence[str], log: Path, alive: Callable[[], None]) -> int:
        from fitness.sandbox import linux

        def end_with_parent() -> None:
            # When the sweep is killed, the run is asked to end in good order.
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGTERM)

        command = [sys.executable, *self.program, *words]
        with log.open("ab") as output:
            # In a group of its own: Ctrl-C comes to the sweep, which passes it on once.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - a worker has no threads
            )
        try:
            while True:
                try:
                    return process.wait(timeout=_LOOK_S)
                except subprocess.TimeoutExpired:
                    alive()
        finally:
            _end(process)


def overrides(point: Mapping[str, Value]) -> list[str]:
    """A point as `--set` texts."""
    return [override(key, value) for key, value in point.items()]


def read_result(directory: Path, seed: int, *, target: float = 0.0) -> Result:
    """What a run reached, from its directory.

    Raises:
        StoreError: There is no run.
        WorkerDied: It has ended without a kernel that passed, not even its first.
    """
    from populations.analysis.course import milestones
    from populations.analysis.history import read_history
    from populations.store import Store

    with Store.open(directory, read_only=True) as store:
        history = read_history(store)
        closing = (store.meta("final") or {}).get("speedup")
        wall_s = store.meta("wall_s") or 0.0
    line = milestones(history)
    if not line:
        raise WorkerDied(f"{directory}: no kernel passed, not even the first")
    best = line[0].kernel if history.champion is None else history.kernels[history.champion]
    speedup = best.evaluation.speedup
    value = closing[0] if closing and history.champion is not None else speedup and speedup.value
    return Result(
        seed=seed,
        log_speedup=math.log(value or 1.0),
        evaluations=len(history.heard),
        reached=next((m.evaluations for m in line if _value(m) >= target), None)
        if target
        else None,
        wall_s=round(wall_s, 3),
        device_s=round(line[-1].device_s, 3),
    )


def _value(milestone: Milestone) -> float:
    speedup = milestone.kernel.evaluation.speedup
    return speedup.value if speedup else 0.0


@contextmanager
def _held(lock: Path, alive: Callable[[], None]) -> Iterator[None]:
    """Hold a lock that others of this machine may hold, and wait for it as long as it takes."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                alive()
                time.sleep(_LOOK_S)
        yield  # closing the file gives the lock back


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let a run that is still going end in good order, and make sure that it ends."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((one_line(line, 300) for line in reversed(lines) if line.strip()), "")
