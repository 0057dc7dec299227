"""Asking a library, and everything that is known as one `Knowledge`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from operators.knowledge.documents import OWN, Document, read_directory
from operators.knowledge.records import Entry
from operators.knowledge.retrieval import Combined, Documents, Index, passage
from operators.knowledge.targets import hardware_of
from operators.operator import Knowledge, Passage


def knowledge(*, extra: Sequence[Path] = (), entries: Sequence[Entry] = ()) -> Knowledge:
    """The own documents, those of further directories, and what earlier runs found out.

    Raises ConfigError, naming file and line, for a directory that cannot be read.
    """
    documents = Documents(extra=extra)
    return Combined((documents, Entries(entries))) if entries else documents


class Entries:
    """Entries of a library as `Knowledge`. Fixed when made, so that a run asks the same of it.

    Besides the filters of documents it knows "operation" and "problem"; an entry never contradicts
    a topic or a phase.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._index = Index((_document(entry) for entry in entries), read_directory(OWN))

    def search(self, query: str, *, filters: Mapping[str, str], count: int) -> Sequence[Passage]:
        """See `Knowledge.search`."""
        found = self._index.ranked(query, filters=filters, count=count)
        return tuple(passage(document) for _, document in found)


def describe(entry: Entry) -> str:
    """An entry's text, for prompts and people."""
    place, gain = entry.setting, entry.gain
    gains = ", ".join(f"{name} {ratio:.2f}x" for name, ratio in entry.gains.items())
    shapes = "; ".join(f"{name}: {sizes}" for name, sizes in place.shapes.items())
    lines = [
        f"{entry.operator}: {entry.technique}",
        f"Gain over its parent {gain.value:.2f}x [{gain.low:.2f}, {gain.high:.2f}] ({gains}).",
        f"Held for {place.problem}, written in {entry.language}, on {place.target or place.device}"
        + (f" ({shapes})." if shapes else "."),
        f"Operations: {', '.join(place.operations)}." if place.operations else "",
        f"Kernels {entry.before} -> {entry.after} of {place.run}.",
        f"What changed:\n{entry.diff}" if entry.diff else "",
    ]
    return "\n".join(line for line in lines if line)


def _document(entry: Entry) -> Document:
    place = entry.setting
    keys = {
        "hardware": (hardware_of(f"{place.target} {place.device}") or place.device.lower(),),
        "language": (entry.language,),
        "operation": place.operations,
        "problem": (place.problem.lower(),),
    }
    return Document(
        name=f"library/{place.problem}/{entry.before}-{entry.after}",
        title=f"What worked for {place.problem}: {entry.technique}",
        text=describe(entry),
        keys=keys,
    )
