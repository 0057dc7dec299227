"""The few Linux calls that Python's standard library lacks (or has only from 3.12 on)."""

from __future__ import annotations

import ctypes
import os
from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECCOMP_MODE_FILTER = 2

CLOSE_RANGE = 436

CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2

_PR_SET_NAME = 15
_NOTHING = (0,) * 6
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_ULONG = ctypes.c_ulong
# Looked up here, with whole registers as arguments, ints and pointers alike: a forked child has all
# of that for nothing, and pays for each page that it writes to in making it.
_prctl, _syscall = _libc.prctl, _libc.syscall
_prctl.argtypes = (ctypes.c_int, *(_ULONG,) * 4)
_syscall.argtypes = (ctypes.c_long, *(ctypes.c_void_p,) * 6)
_syscall.restype = ctypes.c_long
_set_name = _libc["prctl"]
_set_name.argtypes = (ctypes.c_int, ctypes.c_char_p)
_unshare, _setns, _capset, _mount = _libc.unshare, _libc.setns, _libc.capset, _libc.mount


def prctl(option: int, value: int = 0, second: int = 0) -> None:
    """Set one of this process's attributes. Raises OSError."""
    _check(_prctl(option, value, second, 0, 0), "prctl", option)


def be_called(name: str) -> None:
    """What `ps` and `top` show; of more than 15 letters the kernel keeps the first."""
    _set_name(_PR_SET_NAME, name.encode())


def unshare(flags: int) -> None:
    """Leave the namespaces of these kinds for new ones. Raises OSError."""
    _check(_unshare(flags), "unshare", flags)


def setns(descriptor: int, kind: int) -> None:
    """Enter an open namespace of this kind. Raises OSError."""
    _check(_setns(descriptor, kind), "setns")


def syscall(number: int, *values: Any) -> int:
    """Call a system call by number. Values are ints or ctypes pointers. Raises OSError."""
    return _check(_syscall(number, *values, *_NOTHING[len(values) :]), "syscall", number)


def current_processor() -> int:
    """The number of the processor that this thread runs on."""
    return int(_libc.sched_getcpu())


def close_from(first: int) -> None:
    """Close every file descriptor from this number on. Raises OSError."""
    syscall(CLOSE_RANGE, first, 0xFFFFFFFF, 0)


def set_capabilities(kept: tuple[int, ...]) -> None:
    """Give up every capability of this process but `kept`. Raises OSError."""
    mask = 0
    for capability in kept:
        mask |= 1 << capability
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Effective, permitted and inheritable set: the low 32 capabilities, then the high ones.
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    _check(_capset(header, data), "capset")


def c_heap() -> Any:
    """The C library, with `malloc` and `free` declared; the interpreter's lock stays held."""
    libc: Any = ctypes.PyDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    libc.free.restype, libc.free.argtypes = None, (ctypes.c_void_p,)
    return libc


def madvise(address: int, size_bytes: int, advice: int) -> None:
    """Advise the kernel about a range of memory. Raises OSError."""
    done = _libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(size_bytes), advice)
    _check(done, "madvise")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount, or change a mount, by its flags. Raises OSError."""
    data = options.encode() or None
    done = _mount(source.encode(), target.encode(), kind.encode(), _ULONG(flags), data)
    _check(done, "mount", target)


def _check(result: int, what: str, of: object = "") -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(
            code, f"{what} {of}: {os.strerror(code)}" if of else f"{what}: {os.strerror(code)}"
        )
    return result
