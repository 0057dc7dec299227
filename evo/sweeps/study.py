"""The study of a sweep: where it is kept, and who works at which of its trials.

All trials are there from the beginning, waiting; a worker claims the first that waits, which only
one can do. So there are exactly as many as the sweep says, however many workers there
are and whenever they began. A trial whose worker died waits again, with what it had: a worker says
who it is and, from time to time, that it is alive. On one machine the others see for themselves
whether its process is there; of another machine they believe it for two minutes.

Optuna's own heartbeats were left aside: journal files have none, and a trial that they give up
becomes a new one of another number.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from evo.sweeps.settings import Sweep
from evo.sweeps.space import Value, suggest
from populations.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from types import TracebackType

    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

DATABASE = "study.db"
FINGERPRINT = "evo:fingerprint"
_WORKER, _ALIVE = "evo:worker", "evo:alive_unix_s"
# Seconds between two signs of life, and until another machine's worker is taken for dead.
_BEAT_S = 10.0
_GRACE_S = 120.0
# Seconds that a worker has to say who it is.
_FRESH_S = 3.0
# Seconds that a writer of an SQLite file waits for the others.
_BUSY_S = 60.0
_BETWEEN_TRIES_S = 0.5
_JOURNAL = "journal://"


class Trials:
    """A sweep's study, opened; a context manager that closes itself.

    Args:
        sweep: The sweep.
        directory: Its directory, which exists.
        storage: A URL that takes the place of the sweep's.

    Raises:
        StoreError: The storage cannot be used, or its study belongs to another sweep.
        ConfigError: The URL is none of Optuna's.
    """

    def __init__(self, sweep: Sweep, directory: Path, *, storage: str = "") -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.sweep = sweep
        self.url = storage_url(sweep, directory, storage)
        self._beaten_s = 0.0
        self._lock = directory / "lock"
        with reported(self.url), self._alone():
            self._storage = open_storage(self.url)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Wilcoxon's pruner is called experimental
                self.study: Study = optuna.create_study(
                    storage=self._storage,
                    study_name=sweep.name,
                    direction="maximize" if sweep.maximize else "minimize",
                    pruner=_pruner(sweep),
                    load_if_exists=True,
                )
            self._id = self._storage.get_study_id_from_name(sweep.name)
            self._take_possession()
            for _ in range(sweep.trials - len(self.all())):
                self.study.enqueue_trial({})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to a database."""
        from optuna.storages import RDBStorage

        if isinstance(self._storage, RDBStorage):
            self._storage.remove_session()
            self._storage.engine.dispose()

    def all(self) -> list[FrozenTrial]:
        """Every trial by number; those beyond the sweep's own are left out.

        Two machines that opened the study at one moment may have put more there than are wanted.
        """
        return self.study.get_trials(deepcopy=False)[: self.sweep.trials]

    def claim(self) -> Trial | None:
        """The first trial that waits, for this worker alone; None when there is none."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import Trial, TrialState

        with reported(self.url), self._alone():
            for frozen in self.all():
                if frozen.state.is_finished():
                    continue
                trial_id = self._trial_id(frozen.number)
                try:
                    if frozen.state is TrialState.RUNNING:
                        if _is_alive(self._storage.get_trial(trial_id)):
                            continue
                        self._storage.set_trial_state_values(trial_id, TrialState.WAITING)
                    if not self._storage.set_trial_state_values(trial_id, TrialState.RUNNING):
                        continue
                    self._storage.set_trial_system_attr(trial_id, _WORKER, whoami())
                    self._beat(trial_id)
                except UpdateFinishedTrialError:
                    continue
                self.study.sampler = _sampler(self.sweep, frozen.number)
                return Trial(self.study, trial_id)
        return None

    def point(self, trial: Trial) -> dict[str, Value]:
        """What the sampler chooses for a trial; one that was begun before keeps its point."""
        with reported(self.url), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return suggest(self.sweep.parameters, trial)

    def alive(self, trial: Trial) -> None:
        """Give a sign of life, if it is time for one."""
        if time.monotonic() - self._beaten_s >= _BEAT_S:
            with reported(self.url):
                self._beat(self._trial_id(trial.number))

    def report(self, trial: Trial, seed: int, value: float) -> bool:
        """Keep a run's value; whether the point is to be given up."""
        from optuna.exceptions import UpdateFinishedTrialError

        with reported(self.url), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            known = self._storage.get_trial(self._trial_id(trial.number)).intermediate_values
            if seed not in known:
                with suppress(UpdateFinishedTrialError):
                    trial.report(value, seed)
            return trial.should_prune()

    def tell(
        self,
        trial: Trial,
        state: str,
        facts: Mapping[str, object],
        *,
        value: float | None = None,
    ) -> None:
        """End a trial.

        Args:
            trial: The trial.
            state: "complete", "pruned" or "fail".
            facts: Kept as its user attributes.
            value: Of a complete one.
        """
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        with reported(self.url), suppress(UpdateFinishedTrialError):
            for key, fact in facts.items():
                trial.set_user_attr(key, fact)
            self.study.tell(trial, value, state=TrialState[state.upper()], skip_if_finished=True)

    def give_back(self, trial: Trial) -> None:
        """Let a trial wait again that was not brought to its end."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        with reported(self.url), suppress(UpdateFinishedTrialError):
            self._storage.set_trial_state_values(self._trial_id(trial.number), TrialState.WAITING)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other worker of this directory makes the study, or claims a trial, meanwhile.

        SQLite knows no lock on a row: of two that look at one moment both would be told that the
        trial is theirs.
        """
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield  # closing the file gives the lock back

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)

    def _beat(self, trial_id: int) -> None:
        self._storage.set_trial_system_attr(trial_id, _ALIVE, time.time())
        self._beaten_s = time.monotonic()

    def _take_possession(self) -> None:
        theirs = self._storage.get_study_user_attrs(self._id).get(FINGERPRINT)
        if theirs is None:
            self._storage.set_study_user_attr(self._id, FINGERPRINT, self.sweep.fingerprint)
        elif theirs != self.sweep.fingerprint:
            raise StoreError(
                f"{self.url}: the study {self.sweep.name!r} belongs to another sweep: its "
                f"experiment, budget, seeds, parameters or metric differ; name another --dir or "
                f"--storage"
            )


def storage_url(sweep: Sweep, directory: Path, given: str = "") -> str:
    """Where a sweep's study is kept."""
    return given or sweep.table.storage or f"sqlite:///{(directory / DATABASE).absolute()}"


def open_storage(url: str) -> BaseStorage:
    """The storage of a URL: `journal://FILE`, or what SQLAlchemy takes.

    Raises:
        ConfigError: It is neither, or its driver is not installed.
    """
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    if url.startswith(_JOURNAL):
        return JournalStorage(JournalFileBackend(url.removeprefix(_JOURNAL)))
    options: dict[str, Any] = {}
    if url.startswith("sqlite"):
        options["connect_args"] = {"timeout": _BUSY_S}
    else:
        # A server may have ended a connection that lay idle during a long run.
        options["pool_pre_ping"] = True
    for tries_left in (3, 2, 1, 0):
        try:
            return RDBStorage(url, engine_kwargs=options)
        except ImportError as error:
            text = " ".join(str(error).split())
            raise ConfigError(f"{hidden(url)}: its driver is not installed: {text}") from error
        except ArgumentError as error:
            raise ConfigError(f"{hidden(url)}: no storage of Optuna's: {error}") from error
        except SQLAlchemyError:
            # Somebody else may be making the tables at this moment.
            if not tries_left:
                raise
            time.sleep(_BETWEEN_TRIES_S)
    raise AssertionError  # the last try returns or raises


def hidden(url: str) -> str:
    """A URL without its password."""
    scheme, separator, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    return f"{scheme}{separator}{user}{':***' if colon else ''}{at}{place}"


@contextmanager
def reported(url: str) -> Iterator[None]:
    """Turn what a storage raises into a StoreError of one line."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError, OSError) as error:
        reason = getattr(error, "orig", None) or error.__cause__ or error
        text = str(getattr(reason, "orig", None) or reason).split("\n")[0]
        raise StoreError(f"{hidden(url)}: {text}") from error


@cache
def whoami() -> dict[str, Any]:
    """Who works here: the machine, the process, and when that began (numbers are used again)."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - no file: a name of the kernel's
    machine = f"{socket.gethostname()} {boot} {space}"
    return {"machine": machine, "pid": os.getpid(), "began": _began(os.getpid())}


def _is_alive(trial: FrozenTrial) -> bool:
    """Whether the worker that last claimed a trial is at work."""
    worker = trial.system_attrs.get(_WORKER)
    claimed_unix_s = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    if abs(time.time() - claimed_unix_s) < _FRESH_S:
        # Whoever claimed it may not have said yet who it is.
        return True
    if worker is not None and worker["machine"] == whoami()["machine"]:
        return bool(_began(worker["pid"]) == worker["began"])
    beaten_unix_s = max(trial.system_attrs.get(_ALIVE, 0.0), claimed_unix_s)
    return bool(time.time() - beaten_unix_s < _GRACE_S)


def _began(pid: int) -> int | None:
    """When a process began, in the kernel's ticks; None where it is no more."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _pruner(sweep: Sweep) -> BasePruner:
    from optuna.pruners import NopPruner, WilcoxonPruner

    if not sweep.table.prune:
        return NopPruner()
    return WilcoxonPruner(p_threshold=sweep.table.prune, n_startup_steps=2)


def _sampler(sweep: Sweep, number: int) -> BaseSampler:
    """The sampler of one trial. Its seed is the trial's, whichever worker comes to it."""
    from optuna.samplers import RandomSampler, TPESampler

    seed = (sweep.table.sampler_seed * 1_000_003 + number) % 2**32
    if sweep.table.sampler == "grid":
        return _at_point(sweep.grid[number])
    if sweep.table.sampler == "random":
        return RandomSampler(seed=seed)
    first = max(4, min(10, sweep.trials // 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some versions call `constant_liar` experimental
        return TPESampler(seed=seed, n_startup_trials=first, constant_liar=True)


def _at_point(point: Mapping[str, Value]) -> BaseSampler:
    """A sampler that chooses one point."""
    from optuna.samplers import BaseSampler

    class AtPoint(BaseSampler):
        def infer_relative_search_space(
            self,
            study: Study,  # noqa: ARG002 - Optuna's interface
            trial: FrozenTrial,  # noqa: ARG002 - likewise
        ) -> dict[str, BaseDistribution]:
            return {}

        def sample_relative(
            self,
            study: Study,  # noqa: ARG002 - Optuna's interface
            trial: FrozenTrial,  # noqa: ARG002 - likewise
            search_space: dict[str, BaseDistribution],  # noqa: ARG002 - likewise
        ) -> dict[str, Any]:
            return {}

        def sample_independent(
            self,
            study: Study,  # noqa: ARG002 - Optuna's interface
            trial: FrozenTrial,  # noqa: ARG002 - likewise
            param_name: str,
            param_distribution: BaseDistribution,  # noqa: ARG002 - likewise
        ) -> Any:
            return point[param_name]

    return AtPoint()
