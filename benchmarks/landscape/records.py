"""The file of results: one JSON object a line, appended as points are measured.

The first line says what is measured and on what; the others are points, each once. A run that was
killed goes on where it stopped; half a line at the end is what the kill cut off, and is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, median
from types import TracebackType
from typing import Any

from populations.errors import ConfigError
from populations.parameters import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How one point was measured.

    Attributes:
        digest: The candidate's.
        variant: Number of its variant.
        values: Its launch parameters.
        outcome: As an `Outcome`.
        text: What was wrong; empty for one that passed.
        candidate_ms: Median time of one call; 0 unless it passed.
        baseline_ms: The baseline's, in the same rounds.
        log_ratios: ln(baseline time / candidate time) of each round.
        build_s: Seconds to construct and compile.
        device_s: Seconds that the device was held for the check and the timing.
    """

    digest: str
    variant: int
    values: Mapping[str, Value]
    outcome: str
    text: str = ""
    candidate_ms: float = 0.0
    baseline_ms: float = 0.0
    log_ratios: Sequence[float] = ()
    build_s: float = 0.0
    device_s: float = 0.0


class Records:
    """An open file of results; a context manager."""

    def __init__(self, path: Path, header: Mapping[str, Any], same: Sequence[str]) -> None:
        """Open it, or begin it with a header.

        Args:
            path: The file.
            header: JSON-able.
            same: Keys in which the header of a file that is there already must agree.

        Raises:
            ConfigError: The file is another landscape's.
        """
        found, points = read(path) if path.exists() else ({}, [])
        for key in same if found else ():
            if found.get(key) != header[key]:
                raise ConfigError(
                    f"{path}: was measured with {key} {found.get(key)}, not {header[key]}"
                )
        self.done = {point.digest: point for point in points}
        if path.exists():
            _cut(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        if not found:
            self._write(header)

    def add(self, record: Record) -> None:
        """Append a point; it is in the file when this returns."""
        self.done[record.digest] = record
        line = asdict(record)
        line["log_ratios"] = [round(r, 5) for r in record.log_ratios]
        for key, digits in (("candidate_ms", 6), ("baseline_ms", 6), ("build_s", 3)):
            line[key] = round(line[key], digits)
        line["device_s"] = round(record.device_s, 4)
        self._write(line)

    def note(self, header: Mapping[str, Any]) -> None:
        """Append a further header line: of a session that went on."""
        self._write(header)

    def __enter__(self) -> Records:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def _write(self, data: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(data, separators=(",", ":")) + "\n")
        self._file.flush()


def read(path: Path) -> tuple[dict[str, Any], list[Record]]:
    """The header (a later session's over an earlier one's) and every point of a file."""
    header: dict[str, Any] = {}
    points: list[Record] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            data = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "digest" in data and "outcome" in data:
            points.append(Record(**data))
        else:
            header |= data
    return header, points


def pooled(points: Sequence[Record]) -> list[Record]:
    """Every point once: those measured several times with all their rounds, and mean times.

    One that failed once has failed.
    """
    grouped: dict[str, list[Record]] = {}
    for point in points:
        grouped.setdefault(point.digest, []).append(point)
    return [_pooled(mine) for mine in grouped.values()]


def _pooled(mine: Sequence[Record]) -> Record:
    for record in mine:
        if not record.log_ratios:
            return record
    return replace(
        mine[0],
        candidate_ms=median([r.candidate_ms for r in mine]),
        baseline_ms=median([r.baseline_ms for r in mine]),
        log_ratios=[ratio for r in mine for ratio in r.log_ratios],
        # What is built again is in a cache.
        device_s=fmean(r.device_s for r in mine),
    )


def _cut(path: Path) -> None:
    """Drop what stands behind the last line's end."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
