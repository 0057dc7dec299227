"""Enter the namespaces that a whole zygote lives in: users, processes, network, IPC.

An ordinary user needs a user namespace to make the others. Root is given one too, so that what it
starts has no rights over the machine, with all its user numbers kept: each child can then have a
number of its own, which is what a limit on processes counts by (the kernel exempts root's own).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from fitness.sandbox import linux, mounts
from fitness.sandbox.confine import detect, enter_user_namespace

_OTHERS = linux.CLONE_NEWPID | linux.CLONE_NEWNET | linux.CLONE_NEWIPC
# User numbers given to children, where root may: far from those that systems hand out, or within
# the 65536 that a container has.
_SLOT_BASES = (1_900_000_000, 60_000)
SLOTS = 4096


def enter() -> str:
    """Enter them for the processes forked from here on; tried in a child first.

    Returns "", or why this machine refuses them; nothing has changed then.
    """
    refused = detect({"users": lambda: _rehearse(_enter_with_users)})["users"]
    if not refused:
        _enter_with_users()
        return ""
    # Root may do without users where only their namespaces are switched off.
    if detect({"plain": lambda: _rehearse(_enter_others)})["plain"]:
        return refused
    _enter_others()
    return ""


def _rehearse(action: Callable[[], None]) -> None:
    """Enter, and let a first process of the new process namespace settle. Raises OSError."""
    action()
    pid = os.fork()
    if pid == 0:
        code = errno.EPERM
        try:
            mounts.own_processes()
            code = 0
        except OSError as error:
            code = error.errno or code
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise OSError(code, f"mount of /proc: {os.strerror(code)}")


def user_slots() -> range:
    """User numbers that this process may give to children; empty without the right to."""
    if os.geteuid() != 0:
        return range(0)
    for base in _SLOT_BASES:
        slots = range(base, base + SLOTS)
        if all(_covers(file, slots) for file in ("/proc/self/uid_map", "/proc/self/gid_map")):
            return slots
    return range(0)


def _enter_with_users() -> None:
    if os.geteuid() == 0:
        _enter_with_all_users()
    else:
        enter_user_namespace()
    _enter_others()


def _enter_others() -> None:
    linux.unshare(_OTHERS)


def _enter_with_all_users() -> None:
    # Only a process outside the new namespace, with rights over the old one, may map many users.
    texts = {name: _identity_map(f"/proc/self/{name}_map") for name in ("uid", "gid")}
    reader, writer = os.pipe()
    # Its number as /proc counts, which may be that of an outer namespace.
    parent = Path("/proc/self").readlink()
    helper = os.fork()
    if helper == 0:
        status = 1
        try:
            os.close(writer)
            if os.read(reader, 1):
                for name, text in texts.items():
                    Path(f"/proc/{parent}/{name}_map").write_text(text, encoding="ascii")
                status = 0
        finally:
            os._exit(status)
    os.close(reader)
    try:
        linux.unshare(linux.CLONE_NEWUSER)
        os.write(writer, b"+")
    finally:
        os.close(writer)
        _, status = os.waitpid(helper, 0)
    if status == 0:
        return
    # The namespace exists without a map: its own process may still map itself, and nobody else.
    Path("/proc/self/uid_map").write_text("0 0 1", encoding="ascii")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/gid_map").write_text("0 0 1", encoding="ascii")


def _identity_map(file: str) -> str:
    entries = [line.split() for line in Path(file).read_text(encoding="ascii").splitlines()]
    if not entries:
        raise OSError(errno.EINVAL, f"{file} is empty")
    return "".join(f"{inside} {inside} {count}\n" for inside, _, count in entries)


def _covers(file: str, wanted: range) -> bool:
    for line in Path(file).read_text(encoding="ascii").splitlines():
        inside, _, count = map(int, line.split())
        if inside <= wanted.start and wanted.stop <= inside + count:
            return True
    return False
