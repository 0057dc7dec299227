"""The zygote's outer process: ends the inner one when the launcher is gone.

It lives as long as a search does nothing else, so it is a program of its own that imports next to
nothing: of the interpreter that it takes the place of, 6 MB would stay to the end.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import NoReturn

_WATCH_MS = 500
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[4].split(chr(0x1f)); "
    "from fitness.sandbox.watchdog import watch; watch(*map(int, sys.argv[1:4]))"
)


def become(inner: int, control: int, launcher: int) -> NoReturn:
    """Turn this process into one that does nothing but `watch`. Raises OSError."""
    os.set_inheritable(control, True)
    numbers = (str(number) for number in (inner, control, launcher))
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM, *numbers, "\x1f".join(sys.path)]
    os.execv(sys.executable, command)


def watch(inner: int, control: int, launcher: int) -> None:
    """Return when the inner process has ended, which it is made to when the launcher is gone.

    Args:
        inner: A child of this process.
        control: Descriptor of a socket whose other end the launcher holds.
        launcher: The parent of this process.
    """
    handle = os.pidfd_open(inner)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(control, 0)  # a hang-up is told unasked
    while not poll.poll(_WATCH_MS):
        # The socket alone does not do: a process forked by the launcher may hold a copy of it.
        if os.getppid() != launcher:
            break
    if not select.select([handle], [], [], 0)[0]:
        os.kill(inner, signal.SIGKILL)
    os.waitpid(inner, 0)
    end_strays(set())


def end_strays(known: set[int]) -> None:
    """Kill and reap every child of this process that is not known, until there is none.

    Without process namespaces, what a child left behind becomes a child of this process.
    """
    me = os.getpid()
    if os.readlink("/proc/self") != str(me):  # noqa: PTH115 - plain calls: little is imported here
        # /proc counts by an outer namespace: its numbers say nothing here. The end of this
        # process's own namespace will end them.
        return
    while strays := [pid for pid in _children_of(me) if pid not in known]:
        for pid in strays:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                continue


def _children_of(parent: int) -> list[int]:
    names = [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - likewise
    return [int(name) for name in names if _parent_of(name) == parent]


def _parent_of(name: str) -> int:
    """The parent of a process, -1 when it is gone."""
    try:
        with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - likewise
            # The command in brackets may hold anything; the parent is the second field behind.
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return -1
