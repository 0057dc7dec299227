"""Sweep files: TOML in, one frozen `Sweep` out, as strictly as experiment files.

[sweep]
experiment = "../conv1d.toml"       # relative to the sweep file
trials = 40                         # points; a grid has as many as it has
seeds = 5                           # runs of each point: search.seed = 1 .. 5, or a list
metric = "speedup"                  # or "evaluations", to reach `target`
sampler = "tpe"                     # or "random", "grid"
prune = 0.15

[sweep.set]                         # the same for every run
"budget.evaluations" = 100

[sweep.parameters]                  # what is varied
"search.policy" = ["islands", "mcts"]
"search.tournament" = { low = 2, high = 8 }
"search.edits" = { low = 1.0, high = 4.0, log = true }
"search.islands.count" = { low = 2, high = 8, when = { "search.policy" = ["islands"] } }
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evo.config import Config, find_experiment, load_config
from evo.settings import at_least
from evo.strict import build, nearest
from evo.sweeps.space import Parameter, Value, override, parameter, points
from populations.errors import ConfigError

SEED = "search.seed"
_OWN = ("seeds", "set", "parameters")


@dataclass(frozen=True, slots=True)
class SweepTable:
    """[sweep], but for its tables and `seeds`."""

    experiment: str  # an experiment file, relative to the sweep file or a shipped one
    trials: int = 0  # points to try; 0 only for a grid, which has as many as it has
    # "speedup": the logarithm of the champion's, more is better. "evaluations": how many it took
    # until a champion's speedup was at least `target`, fewer is better.
    metric: Literal["speedup", "evaluations"] = "speedup"
    target: float = 0.0  # a speedup, for "evaluations"
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    sampler_seed: int = 0
    # A point is given up when its runs are worse than the best point's of the same seeds by a
    # Wilcoxon test with this p: 0.15 gives up after three runs that are all worse; 0: never.
    prune: float = 0.15
    # A URL of Optuna's: sqlite:///FILE, postgresql://..., journal://FILE; empty: study.db in the
    # sweep's directory.
    storage: str = ""
    workers: int = at_least(1, 1)  # points tried at once


@dataclass(frozen=True, slots=True)
class Sweep:
    """One sweep, resolved.

    Attributes:
        path: The sweep file.
        name: Its stem, which names the study and the directory.
        table: The plain keys.
        experiment: The experiment's file.
        seeds: Of each point's runs, in the order in which they are run.
        fixed: `--set` texts that hold for every run.
        parameters: What is varied, in the order of the file.
        fingerprint: Tells this sweep's results from those of any other; trials, sampler, pruning
            and storage are no part of it.
    """

    path: Path
    name: str
    table: SweepTable
    experiment: Path
    seeds: tuple[int, ...]
    fixed: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    fingerprint: str = field(default="", compare=False)

    @property
    def trials(self) -> int:
        """Points to try."""
        return self.table.trials or len(self.grid)

    @property
    def grid(self) -> tuple[Mapping[str, Value], ...]:
        """Every point of a grid, in order; empty for other samplers."""
        return points(self.parameters) if self.table.sampler == "grid" else ()

    @property
    def maximize(self) -> bool:
        """Whether more is better."""
        return self.table.metric == "speedup"


def load_sweep(path: Path) -> Sweep:
    """Read a sweep file, and try every value of it on the experiment.

    Raises:
        ConfigError: The file is missing or is no TOML, or a key or a value is wrong.
    """
    path = find_experiment(path)
    data = _read(path)
    for key in data:
        if key != "sweep":
            text = json.dumps(key, ensure_ascii=False)
            raise ConfigError(f"{path}: unknown table {text}{nearest(key, ['sweep'])}")
    given = data.get("sweep")
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: missing table [sweep]; it names the experiment file")
    plain = {key: value for key, value in given.items() if key not in _OWN}
    for key in plain:
        known = [*(f.name for f in dataclasses.fields(SweepTable)), *_OWN]
        if key not in known:
            text = json.dumps(key, ensure_ascii=False)
            raise ConfigError(f"{path}: [sweep] unknown key {text}{nearest(key, known)}")
    table: SweepTable = build(SweepTable, plain, path, "[sweep]")
    sweep = Sweep(
        path=path,
        name=path.stem,
        table=table,
        experiment=_experiment(table, path),
        seeds=_seeds(given.get("seeds", 3), path),
        fixed=_fixed(given.get("set", {}), path),
        parameters=_parameters(given.get("parameters", {}), path),
    )
    _check_table(sweep)
    config = _try_everything(sweep)
    return dataclasses.replace(sweep, fingerprint=_fingerprint(sweep, config))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _experiment(table: SweepTable, path: Path) -> Path:
    beside = path.parent / table.experiment
    try:
        return find_experiment(beside if beside.is_file() else Path(table.experiment))
    except ConfigError as error:
        raise ConfigError(f"{path}: [sweep] experiment: {error}") from error


def _seeds(given: object, path: Path) -> tuple[int, ...]:
    seeds = list(range(1, given + 1)) if type(given) is int else given
    if (
        not isinstance(seeds, list)
        or not seeds
        or not all(type(seed) is int and seed >= 0 for seed in seeds)
        or len(set(seeds)) < len(seeds)
    ):
        raise ConfigError(
            f"{path}: [sweep] seeds must be how many, or a list of different numbers, "
            f"but got {given!r}"
        )
    return tuple(seeds)


def _fixed(given: object, path: Path) -> tuple[str, ...]:
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: [sweep.set] must be a table, but got {given!r}")
    for key, value in given.items():
        _check_key(key, path, "[sweep.set]")
        if isinstance(value, dict):
            raise ConfigError(f'{path}: [sweep.set] write keys in quotes: "{key}.KEY" = VALUE')
    return tuple(override(key, value) for key, value in given.items())


def _parameters(given: object, path: Path) -> tuple[Parameter, ...]:
    where = "[sweep.parameters]"
    if not isinstance(given, dict) or not given:
        raise ConfigError(f"{path}: {where} must name what is varied, but got {given!r}")
    found: list[Parameter] = []
    for key, value in given.items():
        _check_key(key, path, where)
        found.append(parameter(key, value, path, earlier=tuple(found)))
    return tuple(found)


def _check_key(key: str, path: Path, where: str) -> None:
    if "." not in key:
        raise ConfigError(f'{path}: {where} "{key}": expected "table.key", in quotes')
    if key == SEED:
        raise ConfigError(f'{path}: {where} "{key}": seeds are given by `seeds` in [sweep]')


def _check_table(sweep: Sweep) -> None:
    """What two keys say together."""
    table, path = sweep.table, sweep.path
    for key in ("prune",):
        if not 0 <= getattr(table, key) < 1:
            raise ConfigError(f"{path}: [sweep] {key} must be at least 0 and below 1")
    if (table.metric == "evaluations") != (table.target > 0):
        raise ConfigError(
            f'{path}: [sweep] target, a speedup above 0, belongs to metric = "evaluations"'
        )
    if table.sampler == "grid":
        for each in sweep.parameters:
            if not each.countable:
                raise ConfigError(
                    f'{path}: [sweep.parameters] "{each.key}": a grid needs a step or choices'
                )
        if table.trials:
            raise ConfigError(
                f"{path}: [sweep] trials: a grid has {len(sweep.grid)} points; leave it out"
            )
    elif not table.trials:
        raise ConfigError(f'{path}: [sweep] missing key "trials": how many points to try')
    both = {each.key for each in sweep.parameters} & {t.partition("=")[0] for t in sweep.fixed}
    if both:
        raise ConfigError(f'{path}: "{min(both)}" is both set and varied')


def _try_everything(sweep: Sweep) -> Config:
    """Load the experiment with each value of each key, so that nothing wrong is found later."""
    fixed = [*sweep.fixed, override(SEED, sweep.seeds[0])]
    try:
        config = load_config(sweep.experiment, fixed)
        for each in sweep.parameters:
            for value in each.extremes:
                load_config(sweep.experiment, [*fixed, override(each.key, value)])
    except ConfigError as error:
        raise ConfigError(f"{sweep.path}: {error}") from error
    return config


def _fingerprint(sweep: Sweep, config: Config) -> str:
    told = {
        "experiment": config.fingerprint(),
        "budget": dataclasses.asdict(config.budget),
        "seeds": sweep.seeds,
        "parameters": [dataclasses.asdict(each) for each in sweep.parameters],
        "metric": [sweep.table.metric, sweep.table.target],
    }
    text = json.dumps(told, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
