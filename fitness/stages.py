"""Where the time of one judgement goes: seconds by the clock and of the device lease, by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from fitness.lease import DeviceLease


class Stages:
    """Adds up the time of stages; a stage within another one counts for itself alone."""

    def __init__(self) -> None:
        self._spent: dict[str, list[float]] = {}
        self._open: list[str] = []

    @contextmanager
    def stage(self, name: str, lease: DeviceLease) -> Iterator[None]:
        """What happens inside belongs to the stage `name`, entered as often as one likes."""
        start, held = time.monotonic(), lease.held_s
        self._open.append(name)
        try:
            yield
        finally:
            self._open.pop()
            self._add(name, time.monotonic() - start, lease.held_s - held)

    def seconds(self) -> dict[str, dict[str, float]]:
        """Stage -> "wall_s" and "device_s", in the order in which they were entered."""
        return {n: {"wall_s": wall, "device_s": held} for n, (wall, held) in self._spent.items()}

    def _add(self, name: str, wall_s: float, held_s: float) -> None:
        mine = self._spent.setdefault(name, [0.0, 0.0])
        mine[0] += wall_s
        mine[1] += held_s
        if self._open:
            around = self._spent.setdefault(self._open[-1], [0.0, 0.0])
            around[0] -= wall_s
            around[1] -= held_s
