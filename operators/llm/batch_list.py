"""The batches of a run and what they hold, kept so that a later session takes them up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from operators.llm import pages
from populations.errors import StoreError

_VERSION = 1


@dataclass(slots=True)
class Batch:
    """One batch.

    Attributes:
        token: Our own name of it, sent along, by which it is found again.
        id: The provider's; "" until it is known.
        questions: What it holds, by the names that its lines carry.
    """

    token: str
    id: str = ""
    questions: list[str] = field(default_factory=list)


class BatchList:
    """A small JSON file. Written before a batch is made and when its id is known."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one.

        Raises:
            StoreError: It is no list of batches that this version can read.
        """
        self._path = path
        self._batches: list[Batch] = []
        if not path.exists():
            return
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["version"] != _VERSION:
                raise StoreError(f"{path} is of a newer version ({data['version']})")
            for entry in data["batches"]:
                questions = [str(name) for name in entry["questions"]]
                self._batches.append(Batch(str(entry["token"]), str(entry["id"]), questions))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path} is no list of batches: {error}") from error

    def __iter__(self) -> Iterator[Batch]:
        return iter(list(self._batches))

    def holding(self, question: str) -> Batch | None:
        """The latest batch that holds a question."""
        found = (batch for batch in reversed(self._batches) if question in batch.questions)
        return next(found, None)

    def add(self, batch: Batch) -> None:
        """Note a batch that is about to be made."""
        self._batches.append(batch)
        self.save()

    def forget(self, batch: Batch, questions: Iterable[str]) -> None:
        """Take questions out, so that they are asked anew; an empty batch goes as well."""
        gone = set(questions)
        batch.questions = [name for name in batch.questions if name not in gone]
        self._batches = [batch for batch in self._batches if batch.questions]
        self.save()

    def save(self) -> None:
        """Write the file."""
        entries = [
            {"token": batch.token, "id": batch.id, "questions": batch.questions}
            for batch in self._batches
        ]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"version": _VERSION, "batches": entries}, indent=1)
        pages.write(self._path, text + "\n")
