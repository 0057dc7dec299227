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
    # A key that the run does not know had no effect.
    found = {key: then.get(key, absent.get(key, value)) for key, value in now.items()}
    settings = [_override(key, was) for key, was in found.items() if was != now[key]]
    if not settings:
        return "its problem, a seed or a model is another one, or has changed since"
    if len(settings) > _SHOWN:
        return f"{len(settings)} settings were others, {', '.join(settings[:_SHOWN])} among them"
    return "it goes on with " + " ".join(f"--set '{setting}'" for setting in settings)


def settings_of_before(config: Config, store: Store) -> tuple[str, ...]:
    """What `--set` needs for a run of an earlier version: its part in keys that it did not know."""
    known = dict(_settings(tomllib.loads(store.meta("experiment"))))
    missing = ((key, value) for key, value in _absent(config) if key not in known)
    return tuple(_override(key, value) for key, value in missing if value is not None)


def _override(key: str, value: Any) -> str:
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


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
