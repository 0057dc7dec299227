"""The run directory: whether it can be used, made new, or opened to go on.

It holds `run.db` (everything), `config.toml` (the experiment as resolved) and what `evo.outputs`
writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evo.apart import why_apart
from evo.config import Config
from populations.errors import StoreError
from populations.store import Store


def check(config: Config, directory: Path, *, resume: bool) -> None:
    """Find out whether the directory can be used, and change nothing.

    Raises:
        StoreError: It cannot: it holds a run already, or holds none or another one to resume.
    """
    exists = Store.begun(directory)
    if resume:
        if not exists:
            raise StoreError(f"{directory}: no run to resume; leave out --resume to start one")
        with Store.open(directory, read_only=True) as store:
            if why := why_apart(config, store):
                raise StoreError(f"{directory} belongs to another experiment: {why}")
        return
    if exists:
        raise StoreError(
            f"{directory}: holds a run already; go on with --resume, or name another with --dir"
        )
    nearest = next(p for p in (directory, *directory.absolute().parents) if p.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise StoreError(f"{directory}: cannot be made: {nearest} is no folder that we may write")


@contextmanager
def created(config: Config, directory: Path) -> Iterator[Store]:
    """Make the directory with a new store in it, open while the context lasts."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.toml").write_text(config.text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{directory}: cannot be written: {error.strerror}") from error
    text, fingerprint = config.text, config.fingerprint()
    with Store.create(directory, experiment=text, fingerprint=fingerprint) as store:
        store.set_meta("name", config.name)
        store.set_meta("path", os.path.relpath(config.path))
        store.set_meta("overrides", list(config.overrides))
        yield store


@contextmanager
def opened(config: Config, directory: Path, device: str) -> Iterator[Store]:
    """The store of a run that is to go on, open while the context lasts.

    Raises:
        StoreError: It is another experiment's, was begun on another kind of device, or another
            process is writing it.
    """
    with Store.open(directory, fingerprint=config.fingerprint()) as store:
        begun_on = store.meta("target") or device
        if begun_on != device:
            raise StoreError(
                f"{directory}: was begun on {begun_on}, but this machine's device is {device}; "
                f"name another directory with --dir"
            )
        yield store
