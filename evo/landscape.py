"""`[evaluation] landscape`: a search over a measured table in place of a device.

What differs from a real run is here: who judges, which kernel is the first, which operators there
are. Everything else is the same code.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evo.config import Config
from evo.device import Device, choose_device
from populations.errors import ConfigError
from populations.kernel import Candidate

if TYPE_CHECKING:
    from fitness.landscape.pool import LandscapePool
    from fitness.landscape.table import Landscape
    from fitness.pool import LocalPool
    from operators.operator import Operator


def landscape_of(config: Config) -> Landscape | None:
    """The table that an experiment searches; None for one that measures.

    Raises:
        ConfigError: It cannot be read, or the experiment asks for what no table can give.
    """
    path = config.evaluation.landscape
    if path is None:
        return None
    table = _loaded(path)
    where = f"{config.path}: [evaluation] landscape"
    if config.seeds:
        raise ConfigError(f"{where}: the table has a seed of its own; leave out [seeds]")
    if config.models:
        raise ConfigError(f"{where}: what models write is in no table; leave out [[models]]")
    wanted = config.target.device
    if wanted not in ("auto", table.device):
        raise ConfigError(
            f'{where}: was measured on {table.device}, but [target] device = "{wanted}"'
        )
    return table


def device_of(config: Config) -> Device:
    """What an experiment runs on: what its table was measured on, or what is here."""
    table = landscape_of(config)
    if table is None:
        return choose_device(config.target.device, config.path)
    return "cpu" if table.device == "cpu" else "cuda"


def judge_of(config: Config, device: Device) -> AbstractContextManager[LocalPool | LandscapePool]:
    """Who judges."""
    from evo.experiment import evaluation_spec

    spec = evaluation_spec(config, device)
    table = landscape_of(config)
    if table is None:
        from fitness.pool import LocalPool

        return LocalPool(spec)
    from fitness.landscape.pool import LandscapePool

    return LandscapePool(table, spec, seed=config.search.seed)


def facts_of(pool: LocalPool | LandscapePool, device: Device) -> dict[str, str]:
    """What a reader must know of the machine that was measured on."""
    from evo.facts import machine_facts
    from fitness.pool import LocalPool

    if not isinstance(pool, LocalPool):
        return pool.facts()
    layers = ", ".join(str(layer) for layer in pool.layers().values() if layer.on)
    return {**machine_facts(device, threads=pool.spec.threads), "confinement": layers}


def seed_of(table: Landscape) -> Candidate:
    """The first kernel of a search over a table."""
    source = table.source(table.seed)
    return Candidate(number=0, source=source, language=table.language, note=f"of {table.name}")


def operators_of(table: Landscape, tuning: dict[str, Any]) -> dict[str, Operator]:
    """Operators of a search over a table, by name."""
    from operators.landscape import operators
    from operators.tuning import Tune

    return dict(operators(table, Tune(**tuning)))


@lru_cache(maxsize=8)
def _loaded(path: Path) -> Landscape:
    from fitness.landscape.table import load

    return load(path)
