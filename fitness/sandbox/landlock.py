"""Landlock: which files this process may still open, which ports, whom it may signal."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from fitness.sandbox import linux

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEVICE = 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
# What a rule on a file, rather than on a folder, may grant.
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_MAKE_DEVICES = 1 << 6 | 1 << 11
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_SOCKET, _SCOPE_SIGNAL = 1 << 0, 1 << 1
_ALWAYS_WRITABLE = ("/dev/null", "/dev/zero", "/dev/full")
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_DEVICES = ("/dev/nvidia*", "/dev/nvidia-caps/*", "/dev/dri/*", "/dev/kfd")


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """Version of the kernel's Landlock interface. Raises OSError without Landlock."""
    return linux.syscall(_CREATE_RULESET, 0, 0, 1)


def restrict(
    abi: int,
    *,
    read: Sequence[Path | str],
    load: Sequence[Path | str] = (),
    write: Sequence[Path | str],
    devices: bool,
) -> None:
    """Restrict this process and all it will start. Needs no_new_privs. Raises OSError.

    Args:
        abi: The interface version, from `version`.
        read: What may be read and executed; empty means everything.
        load: Folders of files that may be, by whoever knows a name: nobody may list them.
        write: Folders in which everything may be done but making device nodes.
        devices: Whether the accelerator's device nodes may be used.
    """
    handled = _handled_files(abi)
    ruleset = _Ruleset(
        handled,
        _BIND_TCP | _CONNECT_TCP if abi >= 4 else 0,
        _SCOPE_ABSTRACT_SOCKET | _SCOPE_SIGNAL if abi >= 6 else 0,
    )
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    rules = linux.syscall(_CREATE_RULESET, ctypes.byref(ruleset), size, 0)
    try:
        for path in write:
            _allow(rules, path, handled & ~_MAKE_DEVICES)
        readable = [(path, _READ) for path in read or ("/",)]
        for path, allowed in (*readable, *((path, _READ & ~_READ_DIR) for path in load)):
            try:
                _allow(rules, path, allowed & handled)
            except OSError as error:
                # What is not there cannot be read.
                if error.errno not in _ABSENT:
                    raise
        usable = (_READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL_DEVICE) & handled
        for name in (*_ALWAYS_WRITABLE, *(_device_nodes() if devices else ())):
            _allow(rules, name, usable)
        if devices:
            # CUDA names its threads there, and does not start where it may not.
            _allow(rules, "/proc/self", (_READ | _WRITE_FILE | _TRUNCATE) & handled)
        linux.syscall(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def device_groups() -> list[int]:
    """The groups that the accelerator's device nodes belong to, other than root's."""
    return sorted({Path(name).stat().st_gid for name in _device_nodes()} - {0})


def _handled_files(abi: int) -> int:
    last = 12 if abi < 2 else 13 if abi < 3 else 14 if abi < 5 else 15
    return (1 << (last + 1)) - 1


def _device_nodes() -> list[str]:
    return [str(path) for pattern in _DEVICES for path in Path("/").glob(pattern[1:])]


def _allow(rules: int, path: Path | str, rights: int) -> None:
    parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            rights &= _ON_FILES
        rule = _PathBeneath(rights, parent)
        linux.syscall(_ADD_RULE, rules, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(parent)
