"""How much memory all processes of a child use together, which no limit of a process can bound.

A look costs some 50 microseconds per child. A child that touches memory as fast as it can is some
gigabytes further at the next look: the watch keeps a fork bomb from taking the whole machine, and
other candidates from being killed in its stead.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping, Sequence
from contextlib import suppress

INTERVAL_S = 0.25
# Libraries that a child is the first to touch, and buffers that it shares with the judge, are
# counted with it.
_SLACK_BYTES = 1 << 30
_PAGE_BYTES = resource.getpagesize()


def bound_bytes(memory_bytes: int) -> int:
    """What the processes of a child may use together, given what each may."""
    return memory_bytes + memory_bytes // 2 + _SLACK_BYTES


def possible() -> bool:
    """Whether /proc counts as this process does, and tells who descends from whom."""
    me = os.getpid()
    return os.readlink("/proc/self") == str(me) and os.path.exists(  # noqa: PTH110, PTH115
        f"/proc/self/task/{me}/children"
    )


def resident() -> tuple[int, int]:
    """Bytes of memory of this process: its own, all of which a forked one shares; and files."""
    return _resident(os.getpid())


def used_bytes(
    parents: Sequence[int], children: Mapping[int, int | None], base: tuple[int, int]
) -> dict[int, int]:
    """Add up what each child and all its descendants use beyond what they share with this process.

    Args:
        parents: Process numbers of whoever forks children.
        children: Process number of a child of theirs -> user number of its own, or None when it is
            the first of its own process namespace. A descendant that lost its parents becomes
            theirs in the first case and is told by the number; the child's in the second.
        base: What `resident` told in this process before it forked them.
    """
    used = dict.fromkeys(children, 0)
    by_user = {user: pid for pid, user in children.items() if user is not None}
    for top in (child for parent in parents for child in _children(parent)):
        owner = top if top in used else by_user.get(_user(top)) if by_user else None
        if owner is not None:
            for pid in _family(top):
                # A forked process has no file in memory until it looks at it.
                used[owner] += sum(max(0, n - b) for n, b in zip(_resident(pid), base, strict=True))
    return used


def _family(first: int) -> set[int]:
    # A set: while they are read, processes end and their numbers are given anew.
    family, looked_at = {first}, [first]
    while looked_at:
        new = set(_children(looked_at.pop())) - family
        family |= new
        looked_at += new
    return family


def _children(pid: int) -> list[int]:
    """Children of any thread of a process; none when it is gone."""
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names alone
            with suppress(OSError):
                text = _read(f"/proc/{pid}/task/{thread}/children")
                found += [int(number) for number in text.split()]
    return found


def _resident(pid: int) -> tuple[int, int]:
    try:
        pages = _read(f"/proc/{pid}/statm").split()
        files = int(pages[2]) * _PAGE_BYTES
        return int(pages[1]) * _PAGE_BYTES - files, files
    except (OSError, IndexError):
        return 0, 0


def _user(pid: int) -> int:
    """Its real user; its entry in /proc belongs to root once it has changed."""
    with suppress(OSError):
        for line in _read(f"/proc/{pid}/status").splitlines():
            if line.startswith(b"Uid:"):
                return int(line.split()[1])
    return -1


def _read(name: str) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 1 << 16)
    finally:
        os.close(descriptor)
