"""The files of a library: one record a line, only ever added to.

    entries.jsonl      improvements (`records.Entry`)
    champions.jsonl    the best kernels of runs (`records.Champion`)
    lock               held by whoever is adding

Writers take the lock, look at what is there, and add what is new with a single write to a file that
is open for appending: two runs that end at the same moment lose nothing and write nothing twice. A
line that a crash has cut off, or that another version wrote, is passed over by readers.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from operators.knowledge.records import Champion, Entry, Setting
from populations.errors import StoreError
from populations.kernel import Candidate
from populations.outcome import Speedup

VERSION = 1
_ENTRIES, _CHAMPIONS, _LOCK = "entries.jsonl", "champions.jsonl", "lock"
Record = TypeVar("Record", Entry, Champion)


class Shelf:
    """A library's directory; made with the first record that is added."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def entries(self) -> list[Entry]:
        """Every entry, in the order in which they were added."""
        return list(_distinct(map(_entry, _lines(self.directory / _ENTRIES))))

    def champions(self) -> list[Champion]:
        """Every champion, in the order in which they were added."""
        return list(_distinct(map(_champion, _lines(self.directory / _CHAMPIONS))))

    def add(self, entries: Iterable[Entry] = (), champions: Iterable[Champion] = ()) -> int:
        """Add what is not there yet; returns how many records that were.

        Raises StoreError when the directory cannot be written.
        """
        try:
            with self._locked():
                fresh_entries = _fresh(entries, self.entries())
                fresh_champions = _fresh(champions, self.champions())
                _append(self.directory / _ENTRIES, fresh_entries)
                _append(self.directory / _CHAMPIONS, fresh_champions)
        except OSError as error:
            raise StoreError(f"{self.directory}: the library cannot be written: {error}") from error
        return len(fresh_entries) + len(fresh_champions)

    def copy_to(self, directory: Path) -> Shelf:
        """Write what is here now to another directory, replacing what that holds.

        A run keeps such a copy, so that it asks the same of its library when it is taken up again.
        """
        directory.mkdir(parents=True, exist_ok=True)
        for name, records in ((_ENTRIES, self.entries()), (_CHAMPIONS, self.champions())):
            draft = directory / f".{name}.{os.getpid()}"
            draft.write_bytes(_text(records))
            draft.replace(directory / name)
        return Shelf(directory)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.directory / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield  # closing the file gives the lock back


def _fresh(records: Iterable[Record], present: Iterable[Record]) -> list[Record]:
    known = {record.key for record in present}
    return [record for record in _distinct(records) if record.key not in known]


def _distinct(records: Iterable[Record | None]) -> Iterator[Record]:
    """Records without None and without those that say what an earlier one says."""
    seen: set[tuple[str, ...]] = set()
    for record in records:
        if record is not None and record.key not in seen:
            seen.add(record.key)
            yield record


def _append(path: Path, records: list[Any]) -> None:
    if not records:
        return
    text = _text(records)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            text = b"\n" + text  # a line that was cut off stays alone
        while text:
            text = text[os.write(descriptor, text) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _text(records: Iterable[Any]) -> bytes:
    """Lines of ASCII: what is no UTF-8 in a source comes back as it was."""
    lines = (json.dumps({"version": VERSION, **asdict(record)}) + "\n" for record in records)
    return "".join(lines).encode("ascii")


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """The objects in a file of this version; lines that are none are passed over."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"{path}: the library cannot be read: {error}") from error
    for line in text.split(b"\n"):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and value.get("version") == VERSION:
            yield value


def _entry(value: Mapping[str, Any]) -> Entry | None:
    """An entry, or None for an object that is none."""
    try:
        return Entry(
            **_strings(value, "technique", "operator", "language", "skeleton", "before"),
            **_strings(value, "after", "diff"),
            gain=_speedup(value["gain"]),
            gains={_string(k): _positive(v) for k, v in value["gains"].items()},
            setting=_setting(value["setting"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _champion(value: Mapping[str, Any]) -> Champion | None:
    """A champion, or None for an object that is none, or whose source is not what it was."""
    try:
        read = Champion(
            **_strings(value, "source", "language", "digest", "skeleton"),
            speedup=_speedup(value["speedup"]),
            setting=_setting(value["setting"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    candidate = Candidate(number=0, source=read.source, language=read.language)
    return read if candidate.digest == read.digest else None


def _setting(value: Mapping[str, Any]) -> Setting:
    return Setting(
        **_strings(value, "problem", "content", "device", "target", "run"),
        operations=tuple(_string(v) for v in value["operations"]),
        shapes={_string(k): _string(v) for k, v in value["shapes"].items()},
    )


def _speedup(value: Mapping[str, Any]) -> Speedup:
    return Speedup(**{name: _positive(value[name]) for name in ("value", "low", "high")})


def _strings(value: Mapping[str, Any], *names: str) -> dict[str, str]:
    return {name: _string(value[name]) for name in names}


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is needed, but got {value!r}")
    return value


def _positive(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a number is needed, but got {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"a positive number is needed, but got {value!r}")
    return float(value)
