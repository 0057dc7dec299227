"""The few Linux calls that Python's standard library lacks (or has only from 3.12 on)."""

from __future__ import annotations

import ctypes
import os

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

_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
# Pointer arguments pass as they are: ctypes would cut a plain int to 32 bits.
_ULONG = ctypes.c_ulong


def prctl(option: int, *values: int) -> None:
    """Set one of this process's attributes. Raises OSError."""
    padded = (*values, 0, 0, 0, 0)[:4]
    _check(_libc.prctl(option, *(_ULONG(value) for value in padded)), f"prctl {option}")


def unshare(flags: int) -> None:
    """Leave the namespaces of these kinds for new ones. Raises OSError."""
    _check(_libc.unshare(flags), f"unshare {flags:#x}")


def setns(descriptor: int, kind: int) -> None:
    """Enter an open namespace of this kind. Raises OSError."""
    _check(_libc.setns(descriptor, kind), "setns")


def syscall(number: int, *values: object) -> int:
    """Call a system call by number. Values are ints or ctypes objects. Raises OSError."""
    plain = (ctypes.c_long(value) if isinstance(value, int) else value for value in values)
    return _check(_libc.syscall(ctypes.c_long(number), *plain), f"syscall {number}")


def current_processor() -> int:
    """The number of the processor that this thread runs on."""
    return int(_libc.sched_getcpu())


def close_from(first: int) -> None:
    """Close every file descriptor from this number on. Raises OSError."""
    syscall(CLOSE_RANGE, first, 0xFFFFFFFF, 0)


def set_capabilities(kept: tuple[int, ...]) -> None:
    """Give up every capability of this process but `kept`. Raises OSError."""
    mask = sum(1 << capability for capability in kept)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Effective, permitted and inheritable set: the low 32 capabilities, then the high ones.
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    _check(_libc.capset(header, data), "capset")


def madvise(address: int, size_bytes: int, advice: int) -> None:
    """Advise the kernel about a range of memory. Raises OSError."""
    done = _libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(size_bytes), advice)
    _check(done, "madvise")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount, or change a mount, by its flags. Raises OSError."""
    data = options.encode() or None
    done = _libc.mount(source.encode(), target.encode(), kind.encode(), _ULONG(flags), data)
    _check(done, f"mount {target}")


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result
