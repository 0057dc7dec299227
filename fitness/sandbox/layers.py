"""The layers of confinement by name, and what a machine has of each: a record, not a guess.

A layer that is missing says why; one that is on may say more (the version, what stands in for it).
Names are stable: `evo doctor` prints them and `[sandbox] require` takes them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Name -> what it keeps a candidate from.
MEANING = {
    "process-namespace": "seeing other processes, and outliving its own end",
    "network-namespace": "reaching any network, this machine's own included",
    "user": "acting as the user who started the search",
    "read-only-mounts": "changing any file but those in its own folder",
    "private-folder": "filling the disk: its folder is memory of a fixed size, gone at its end",
    "landlock": "opening files outside the folders that it is shown",
    "seccomp": "system calls that no kernel needs",
    "resource-limits": "using much of anything in one process",
    "memory-watch": "using much memory in many processes",
    "cgroup": "the same, counted by the kernel",
}
NAMES = tuple(MEANING)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of confinement on this machine.

    Attributes:
        name: One of `NAMES`.
        on: Whether candidates are confined by it.
        detail: More about a layer that is on, or why it is missing; "" when there is nothing to
            say.
    """

    name: str
    on: bool
    detail: str = ""

    def __str__(self) -> str:
        """The name, with what there is to say of it."""
        shown = self.name if self.on else f"no {self.name}"
        return f"{shown} ({self.detail})" if self.detail else shown


def to_json(layers: Mapping[str, Layer]) -> list[dict[str, Any]]:
    """JSON-able, in order."""
    return [dataclasses.asdict(layer) for layer in layers.values()]


def from_json(data: Iterable[Mapping[str, Any]]) -> dict[str, Layer]:
    """What `to_json` made; name -> layer."""
    return {item["name"]: Layer(**item) for item in data}
