"""In which settings a run that is to go on differs from the experiment that it is to go on with."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from evo.config import Config
from populations.store import Store

# What may change under way, or is compared by what the files hold.
_ELSEWHERE = ("budget", "problem", "seeds", "models")
_SHOWN = 4


def why_apart(config: Config, store: Store) -> str:
    """Why a run is another experiment's, and how it goes on all the same; "" when it is not."""
    if store.meta("fingerprint") == config.fingerprint():
        return ""
    then, now = (dict(_settings(tomllib.loads(t))) for t in (store.meta("experiment"), config.text))
    absent = dict(_absent(config))
    settings = []
    for key, value in now.items():
        # A key that the run does not know had no effect.
        was = then.get(key, absent.get(key, value))
        if was != value:
            settings.append(f"{key}={json.dumps(was, ensure_ascii=False)}")
    if not settings:
        return "its problem, a seed or a model is another one, or has changed since"
    if len(settings) > _SHOWN:
        return f"{len(settings)} settings were others, {', '.join(settings[:_SHOWN])} among them"
    return "it goes on with " + " ".join(f"--set '{setting}'" for setting in settings)


def _settings(tables: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tables.items():
        if isinstance(value, Mapping) and above + key not in _ELSEWHERE:
            yield from _settings(value, f"{above}{key}.")
        elif not isinstance(value, Mapping) and above:
            yield above + key, value


def _absent(record: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            yield from _absent(value, f"{above}{field.name}.")
        elif "absent" in field.metadata:
            yield above + field.name, field.metadata["absent"]
