"""Who may use a device right now: many for building and checking, one alone for timing.

The lease is a pair of file locks in a folder of the user's own, one pair per device, so that it
holds between all processes of one user on the machine, several searches included. A process that
dies releases it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from populations.errors import DeviceError


class DeviceLease:
    """A device's lock, held shared or exclusively; belongs to one thread of one process."""

    def __init__(self, device: str, folder: Path | None = None) -> None:
        """Open the lock files, making them when missing.

        Args:
            device: "cpu", or "cuda:0" and the like.
            folder: Where the lock files lie; the user's runtime folder by default.
        """
        folder = folder or runtime_folder()
        name = device.replace(":", "-")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            self._room = os.open(folder / f"{name}.lock", flags, 0o600)
            self._door = os.open(folder / f"{name}.door", flags, 0o600)
        except OSError as error:
            raise DeviceError(f"cannot open the device lock in {folder}: {error}") from error
        self.exclusive_s = 0.0
        """Seconds this object has held the device exclusively, in total."""
        self._held_s = 0.0
        self._since: list[float] = []
        self._alone = False

    @property
    def held_s(self) -> float:
        """Seconds this object has held the device so far, alone or together with others."""
        return self._held_s + sum(time.monotonic() - start for start in self._since[:1])

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the device together with others; waits for a timing that runs or waits."""
        self._enter()
        try:
            with self._holding():
                yield
        finally:
            fcntl.flock(self._room, fcntl.LOCK_UN)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Give a shared hold back meanwhile; does nothing where there is none."""
        if not self._since or self._alone:
            yield
            return
        self._held_s += time.monotonic() - self._since[0]
        since, self._since = self._since, []
        fcntl.flock(self._room, fcntl.LOCK_UN)
        try:
            yield
        finally:
            self._enter()
            self._since = [time.monotonic()] * len(since)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the device alone; waits until all others have left."""
        fcntl.flock(self._door, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._room, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)
        start = time.monotonic()
        self._alone = True
        try:
            with self._holding():
                yield
        finally:
            self._alone = False
            self.exclusive_s += time.monotonic() - start
            fcntl.flock(self._room, fcntl.LOCK_UN)

    def _enter(self) -> None:
        # Whoever waits for exclusive use stands in the door: nobody enters past it.
        fcntl.flock(self._door, fcntl.LOCK_SH)
        fcntl.flock(self._room, fcntl.LOCK_SH)
        fcntl.flock(self._door, fcntl.LOCK_UN)

    @contextmanager
    def _holding(self) -> Iterator[None]:
        self._since.append(time.monotonic())
        try:
            yield
        finally:
            start = self._since.pop()
            if not self._since:
                self._held_s += time.monotonic() - start

    def close(self) -> None:
        """Close the lock files."""
        os.close(self._room)
        os.close(self._door)


def runtime_folder() -> Path:
    """The user's folder for lock files: in `$XDG_RUNTIME_DIR`, else in the temporary folder."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.access(base, os.W_OK):
        folder = Path(base) / "evo"
    else:
        folder = Path(tempfile.gettempdir()) / f"evo-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise DeviceError(f"{folder} belongs to another user; set XDG_RUNTIME_DIR to one of yours")
    return folder
