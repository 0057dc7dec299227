"""A view of the file system of the child's own: everything read-only, other processes unseen.

Landlock cannot refuse changes of mode, time or attributes; a read-only mount does, and it holds on
kernels without Landlock.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from fitness.sandbox import linux

_MOUNT_SETATTR = 442
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_READ_ONLY = 1
_BIND, _RECURSIVE, _PRIVATE = 1 << 12, 1 << 14, 1 << 18
_NO_SETUID, _NO_DEVICES, _NO_EXECUTION = 1 << 1, 1 << 2, 1 << 3
# A file in memory takes some of it even when it is empty.
_FOLDER_FILES = 16384


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


def own_processes() -> None:
    """Let /proc show this process's own process namespace, to it and to all it will start.

    Without that, what a process finds under its own number in /proc belongs to another process or
    does not exist; CUDA, for one, does not start then. Refused with OSError in containers that mask
    parts of /proc, which a new one would show.
    """
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", "", _RECURSIVE | _PRIVATE)
    _mount_processes()


def restrict(write: Sequence[Path | str], *, processes: bool, folder_bytes: int = 0) -> None:
    """Make every mount read-only but `write`. Needs rights over the user namespace.

    Args:
        write: Folders that stay writable.
        processes: Whether this is the first process of a process namespace, for which /proc is
            mounted anew.
        folder_bytes: Size of memory to put in the place of the first writable folder, which takes
            over the folders and links in it; 0 leaves it where it lies.

    Raises OSError.
    """
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", "", _RECURSIVE | _PRIVATE)
    if folder_bytes:
        own_folder(write[0], folder_bytes)
    for folder in write[1:] if folder_bytes else write:
        linux.mount(str(folder), str(folder), "", _BIND | _RECURSIVE)
    _set("/", _AT_RECURSIVE, _Attributes(set=_READ_ONLY))
    for folder in write:
        _set(str(folder), 0, _Attributes(clear=_READ_ONLY))
    if processes:
        _mount_processes()
    else:
        # A process names its threads in there.
        with contextlib.suppress(OSError):
            _set("/proc", 0, _Attributes(clear=_READ_ONLY))
    os.chdir("/")


def own_folder(folder: Path | str, size_bytes: int) -> None:
    """Put memory of this size in the place of a folder; for this mount namespace alone.

    It goes when the last process of the namespace does, whatever is in it. Raises OSError.
    """
    found = list(_folders_and_links(folder))
    options = f"size={size_bytes},nr_inodes={_FOLDER_FILES},mode=0700"
    linux.mount("tmpfs", str(folder), "tmpfs", _NO_SETUID | _NO_DEVICES, options)
    for path, target in found:
        if target:
            os.symlink(target, path)  # noqa: PTH211 - plain calls: what is new costs a child
        else:
            os.mkdir(path, 0o700)  # noqa: PTH102 - likewise


def _folders_and_links(folder: Path | str) -> Iterator[tuple[str, str]]:
    """What lies in a folder: (path, "") for a folder, (path, target) for a link."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield entry.path, os.readlink(entry.path)  # noqa: PTH115 - likewise
            elif entry.is_dir():
                yield entry.path, ""
                yield from _folders_and_links(entry.path)


def _mount_processes() -> None:
    linux.mount("proc", "/proc", "proc", _NO_SETUID | _NO_DEVICES | _NO_EXECUTION)


def _set(path: str, flags: int, attributes: _Attributes) -> None:
    name, size = ctypes.c_char_p(path.encode()), ctypes.sizeof(attributes)
    linux.syscall(_MOUNT_SETATTR, _AT_FDCWD, name, flags, ctypes.byref(attributes), size)
