"""A measured table of kernels: every launch-parameter point of a lattice of structural variants.

The file is a NumPy archive (compressed, no pickle) of these arrays, a row for each point:

    variant        int16    number of its variant
    choice         int16    [points, parameters] index into a parameter's choices, -1: has none
    outcome        uint8    index into `outcomes`
    text           uint16   index into `texts`: what was wrong with it
    candidate_ms   float32  median time of one call; 0 unless it passed
    baseline_ms    float32  the baseline's, in the same rounds
    log_ratios     float32  [points, rounds] ln(baseline time / candidate time); NaN: no such round
    build_s        float32  seconds to construct and compile
    device_s       float32  seconds that the device was held

and `about`, a JSON text: `name`, `language`, `device`, `workload`, `baseline`, `edits` (names, in
the order in which they are made, with operators and needs), `variants` (edits and source of each),
`parameters` (name -> choices), `outcomes`, `texts`, `rounds` (of one measurement), and `provenance`
(machine, versions, date, command, clocks, digest of the problem).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from populations.errors import ConfigError
from populations.outcome import Outcome
from populations.parameters import Value, skeleton, values, with_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
ARRAYS = (
    "variant",
    "choice",
    "outcome",
    "text",
    "candidate_ms",
    "baseline_ms",
    "log_ratios",
    "build_s",
    "device_s",
)


@dataclass(frozen=True, slots=True)
class EditNote:
    """One structural edit that variants were made of.

    Attributes:
        name: Unique within the landscape.
        operators: Names of the real operators that make it, in order.
        needs: Edits without which there is no variant with this one.
    """

    name: str
    operators: tuple[str, ...]
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VariantNote:
    """One structural variant.

    Attributes:
        edits: Names of its edits, in the order in which they are made.
        source: Its module, with one value for every launch parameter.
    """

    edits: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Landscape:
    """A table in memory; rows as described in the module.

    Attributes:
        about: The JSON part.
        arrays: By name, all of `ARRAYS`.
    """

    about: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    @property
    def name(self) -> str:
        """Of the landscape."""
        return str(self.about["name"])

    @property
    def language(self) -> str:
        """Of its kernels."""
        return str(self.about["language"])

    @property
    def device(self) -> str:
        """What it was measured on: "cpu" or "cuda"."""
        return str(self.about["device"])

    @property
    def workload(self) -> str:
        """The workload that was measured."""
        return str(self.about["workload"])

    @property
    def baseline(self) -> str:
        """What every point was paired with."""
        return str(self.about["baseline"])

    @cached_property
    def edits(self) -> tuple[EditNote, ...]:
        """In the order in which they are made."""
        return tuple(
            EditNote(e["name"], tuple(e["operators"]), tuple(e["needs"]))
            for e in self.about["edits"]
        )

    @cached_property
    def variants(self) -> tuple[VariantNote, ...]:
        """By number; the first is the seed."""
        return tuple(VariantNote(tuple(v["edits"]), v["source"]) for v in self.about["variants"])

    @cached_property
    def true_log_speedup(self) -> NDArray[np.float64]:
        """Median of each row's log ratios; minus infinity for one that did not pass."""
        import numpy as np

        ratios = self.arrays["log_ratios"].astype(np.float64)
        passed = self.arrays["outcome"] == self.outcomes.index(Outcome.PASSED)
        found = np.full(len(ratios), -np.inf)
        found[passed] = np.nanmedian(ratios[passed], axis=1)
        return found

    @property
    def outcomes(self) -> list[str]:
        """What `outcome` is an index of."""
        return list(self.about["outcomes"])

    @property
    def baselines_ms(self) -> dict[str, float]:
        """Every baseline's time, as measured before the points."""
        found = self.about.get("provenance", {}).get("baselines_ms", {})
        return dict(found) or {self.baseline: float(self.arrays["baseline_ms"].max())}

    @property
    def rounds(self) -> int:
        """Rounds of one measurement, at most; a point measured several times has more."""
        return int(self.about.get("rounds") or self.arrays["log_ratios"].shape[1])

    @property
    def seed(self) -> int:
        """The row that a search begins with: the first variant as it stands, or its first that ran.

        Raises ConfigError when no point of it passed.
        """
        at = self.row(self.variants[0].source)
        if at is not None and self.outcome(at) is Outcome.PASSED:
            return at
        for row, number in enumerate(self.arrays["variant"].tolist()):
            if number == 0 and self.outcome(row) is Outcome.PASSED:
                return row
        raise ConfigError(f"the landscape {self.name}: its seed passed at no point")

    @property
    def best(self) -> int:
        """The row with the greatest median speedup."""
        return int(self.true_log_speedup.argmax())

    def __len__(self) -> int:
        return len(self.arrays["variant"])

    def row(self, source: str) -> int | None:
        """The row of a candidate; None when its source is not in the table."""
        number = self._numbers.get(skeleton(source))
        if number is None:
            return None
        return self._rows.get((number, tuple(values(source).values())))

    def source(self, row: int) -> str:
        """The module of a row."""
        number = int(self.arrays["variant"][row])
        return with_values(self.variants[number].source, self.values(row))

    def outcome(self, row: int) -> Outcome:
        """How a row's evaluation ended."""
        return Outcome(self.about["outcomes"][self.arrays["outcome"][row]])

    def text(self, row: int) -> str:
        """What was wrong with a row."""
        return str(self.about["texts"][self.arrays["text"][row]])

    def pairs(self, row: int) -> list[float]:
        """The raw log ratios of a row, in order."""
        ratios: list[float] = self.arrays["log_ratios"][row].tolist()
        return [ratio for ratio in ratios if not math.isnan(ratio)]

    def variant_of(self, source: str) -> int | None:
        """Number of the variant of which a source is a point, measured or not."""
        return self._numbers.get(skeleton(source))

    def values(self, row: int) -> dict[str, Value]:
        """The launch parameters of a row, in the order of its file."""
        number = int(self.arrays["variant"][row])
        chosen = self.arrays["choice"][row]
        places = {name: at for at, name in enumerate(self.about["parameters"])}
        return {
            name: self.about["parameters"][name][chosen[places[name]]]
            for name in values(self.variants[number].source)
        }

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {skeleton(variant.source): n for n, variant in enumerate(self.variants)}

    @cached_property
    def _rows(self) -> dict[tuple[int, tuple[Value, ...]], int]:
        names, choices = list(self.about["parameters"]), list(self.about["parameters"].values())
        order = [[names.index(n) for n in values(v.source)] for v in self.variants]
        numbers = self.arrays["variant"].tolist()
        return {
            (number, tuple(choices[at][chosen[at]] for at in order[number])): row
            for row, (number, chosen) in enumerate(
                zip(numbers, self.arrays["choice"].tolist(), strict=True)
            )
        }


def load(path: Path) -> Landscape:
    """Read a table; takes milliseconds.

    Raises:
        ConfigError: There is none, or it is of a later version.
    """
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(file["about"].tobytes().decode())
            if about.get("version") != VERSION:
                raise ConfigError(
                    f"{path}: a landscape of version {about.get('version')}, this reads {VERSION}"
                )
            arrays = {name: file[name] for name in ARRAYS}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: cannot be read as a landscape: {error}") from error
    return Landscape(about, arrays)


def save(path: Path, about: Mapping[str, Any], arrays: Mapping[str, Sequence[Any]]) -> None:
    """Write a table, the same bytes for the same content.

    Args:
        path: The file.
        about: As described in the module; the version is added.
        arrays: All of `ARRAYS`.
    """
    import io
    import zipfile

    import numpy as np

    kinds = dict(
        zip(
            ARRAYS,
            ("i2", "i2", "u1", "u2", "f4", "f4", "f4", "f4", "f4"),
            strict=True,
        )
    )
    text = json.dumps({"version": VERSION, **about}, separators=(",", ":")).encode()
    content = {"about": np.frombuffer(text, np.uint8)}
    content |= {name: np.asarray(arrays[name], kinds[name]) for name in ARRAYS}
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in content.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            # A fixed date: the file says nothing of when it was packed.
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, buffer.getvalue())
