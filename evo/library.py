"""What earlier runs of this user found out: read when a run begins, added to when it ends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from evo.config import Config

if TYPE_CHECKING:
    from operators.knowledge.records import Champion, Setting
    from operators.operator import Knowledge
    from populations.kernel import Kernel
    from populations.lineage import Lineage
    from populations.store import Store

# In a run directory: the library as it was when the run began.
COPY = "library"


def library_dir() -> Path:
    """Where the library is: `$EVO_LIBRARY_DIR`, else in XDG's folder for data."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(os.environ.get("EVO_LIBRARY_DIR") or Path(base) / "evo" / "library")


def copy_for(config: Config, directory: Path) -> None:
    """Keep the library as it is now in a run directory: a run that goes on asks the same of it."""
    from operators.knowledge.shelf import Shelf

    if config.knowledge.library and config.models and not (directory / COPY).exists():
        Shelf(library_dir()).copy_to(directory / COPY)


def knowledge_of(config: Config, directory: Path) -> Knowledge:
    """The documents, the experiment's own directories, and the run's copy of the library.

    Raises:
        ConfigError: A directory of the experiment cannot be read.
    """
    from operators.knowledge.recall import knowledge
    from operators.knowledge.shelf import Shelf

    entries = Shelf(directory / COPY).entries() if config.knowledge.library else []
    return knowledge(extra=config.knowledge.directories, entries=entries)


def setting_of(config: Config, store: Store) -> Setting:
    """Where a run took place, from its store."""
    from operators.knowledge.operations import operations_of
    from operators.knowledge.records import Setting, content_digest

    problem = config.problem.path.read_text(encoding="utf-8")
    facts = store.meta("facts") or {}
    return Setting(
        problem=config.problem.path.stem,
        content=content_digest(problem),
        device=store.meta("target") or "",
        target=facts.get("device", ""),
        run=str(store.directory.absolute()),
        operations=tuple(operations_of(problem)),
    )


def keep_what_worked(
    config: Config, store: Store, lineage: Lineage, champion: Kernel | None
) -> int:
    """Add a run's improvements and its champion to the library; returns how many records are new.

    Raises:
        StoreError: The library cannot be written.
    """
    from operators.knowledge import library
    from operators.knowledge.shelf import Shelf

    # A table's numbers are of another time, and mostly of another machine.
    if not config.knowledge.library or config.evaluation.landscape:
        return 0
    setting = setting_of(config, store)
    best = library.champion(champion, setting=setting) if champion else None
    entries = library.distill(lineage, setting=setting)
    return Shelf(library_dir()).add(entries, [best] if best else [])


def first_champions(config: Config, device_name: str, languages: list[str]) -> list[Champion]:
    """Champions of earlier runs of this very problem, `[knowledge] first` per language."""
    from operators.knowledge.library import first_individuals
    from operators.knowledge.records import content_digest
    from operators.knowledge.shelf import Shelf

    count = config.knowledge.first
    if not count:
        return []
    content = content_digest(config.problem.path.read_text(encoding="utf-8"))
    champions = Shelf(library_dir()).champions()
    return [
        champion
        for language in languages
        for champion in first_individuals(
            champions, content=content, language=language, target=device_name, count=count
        )
    ]
