"""The process that candidates' processes are copies of: it forks when told to, nothing else.

After a fork, whoever of the two writes to a page first pays for a copy of it, and a large page that
either writes to falls into small ones, which every later fork and every end of a copy goes through
one by one. The nursery keeps books between two forks and so writes to pages all over. This process
has all that it needs made beforehand and speaks to the kernel directly.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from fitness.sandbox import linux, startup
from fitness.sandbox.confine import Layers
from fitness.sandbox.packets import receive, send
from populations.errors import WorkerDied

# With the interpreter's lock held throughout. `fork` is the C library's: without the hooks that
# Python runs in a copy, which write to some 300 pages. The process that calls it here has one
# thread and holds no lock, and whoever draws at random in a copy seeds first.
_libc = ctypes.PyDLL(None, use_errno=True)
_MESSAGE_BYTES = 1 << 16
_DESCRIPTORS = 3
# Behind standard input, output and error: there is no gap below what is received.
_KEPT = (3, 4, 5)
# Above every number that a process with few open files has in use.
_ASIDE = 100
_ALL = 0x7FFFFFFF
_MSG_CMSG_CLOEXEC = 0x40000000


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended.

    Attributes:
        status: As `os.wait4` tells it.
        cpu_s: CPU seconds of the child and of what it waited for.
        max_rss_bytes: Its largest resident size.
    """

    status: int
    cpu_s: float
    max_rss_bytes: int

    @classmethod
    def of(cls, status: int, usage: resource.struct_rusage) -> Ended:
        """From what `os.wait4` returns."""
        return cls(status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


class Template:
    """The asking side, in the nursery: starts confined children and hears how they ended."""

    def __init__(self, layers: Layers, outer_proc: int) -> None:
        """Fork the process; it has all that was imported by now.

        Args:
            layers: What confines children; each has a process namespace of its own.
            outer_proc: Descriptor of the launcher's /proc.
        """
        self._layers = layers
        self._outer_proc = outer_proc
        self._control = -1
        self._begin()

    def _begin(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            self.pid = int(_libc.fork())
            if self.pid == 0:
                try:
                    _serve(*_kept(theirs.fileno(), self._outer_proc), self._layers)
                finally:
                    os._exit(1)
            if self.pid < 0:
                raise OSError(ctypes.get_errno(), "fork of the process that others are copies of")
            self._control = ours.detach()

    def renew(self) -> None:
        """Reap this process, which has died, and fork another. Raises OSError when that fails."""
        if self._control >= 0:
            os.close(self._control)
            self._control = -1
            with suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
        self._begin()

    def fork(self, plan: startup.Plan) -> int:
        """Start a child; returns its process number.

        Raises OSError when it could not be forked, WorkerDied when this process is gone.
        """
        message = {"entry": plan.entry, "limits": plan.limits, "user": plan.user}
        descriptors = (plan.channel, plan.status, plan.output)
        answer = self._asked(json.dumps(message).encode(), descriptors)
        if answer.number < 0:
            raise OSError(answer.error, os.strerror(answer.error))
        return int(answer.number)

    def reap(self, pid: int) -> Ended:
        """Wait for a child that has ended.

        Raises ChildProcessError for a process that it did not start, WorkerDied like `fork`.
        """
        answer = self._asked(b"%d\0" % pid)
        if answer.number < 0:
            raise ChildProcessError(answer.error, os.strerror(answer.error))
        cpu_us = answer.user.total_us + answer.system.total_us
        return Ended(answer.status, cpu_us * 1e-6, answer.max_rss_kb * 1024)

    def _asked(self, message: bytes, descriptors: Sequence[int] = ()) -> _Answer:
        content = b""
        if self._control >= 0:
            send(self._control, message, descriptors)
            content, _ = receive(self._control)
        if len(content) != ctypes.sizeof(_Answer):
            raise WorkerDied("the process that others are copies of is gone")
        return _Answer.from_buffer_copy(content)


class _Time(ctypes.Structure):
    """A `timeval`."""

    _fields_ = (("s", ctypes.c_long), ("us", ctypes.c_long))

    @property
    def total_us(self) -> int:
        return int(self.s * 1_000_000 + self.us)


class _Answer(ctypes.Structure):
    """What is told of a child: a number, or what became of it; from `user` on an `rusage`."""

    _fields_ = (
        ("number", ctypes.c_int),
        ("error", ctypes.c_int),
        ("status", ctypes.c_int),
        ("user", _Time),
        ("system", _Time),
        ("max_rss_kb", ctypes.c_long),
        ("rest", ctypes.c_long * 13),
    )


class _Piece(ctypes.Structure):
    """An `iovec`."""

    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Descriptors(ctypes.Structure):
    """A `cmsghdr` and the descriptors behind it."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("level", ctypes.c_int),
        ("kind", ctypes.c_int),
        ("numbers", ctypes.c_int * (_DESCRIPTORS + 1)),
    )


class _Header(ctypes.Structure):
    """A `msghdr`."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("pieces", ctypes.c_void_p),
        ("piece_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


def _kept(control: int, outer_proc: int) -> tuple[int, int, int]:
    """Close every descriptor but standard ones, these two and one of this process namespace.

    Returns their numbers, the lowest there are: whatever is received later has a higher one.
    """
    namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    # Set aside first: a number wanted may be another one's.
    aside = [
        fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, _ASIDE)
        for source in (control, namespace, outer_proc)
    ]
    for target, source in zip(_KEPT, aside, strict=True):
        os.dup2(source, target, inheritable=False)
    linux.close_from(_KEPT[-1] + 1)
    return _KEPT


def _serve(control: int, namespace: int, outer_proc: int, layers: Layers) -> NoReturn:
    """Fork for every message with descriptors, wait for the named child at every other."""
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    linux.be_called("evo-template")
    text = ctypes.create_string_buffer(_MESSAGE_BYTES)
    piece, given = _Piece(ctypes.addressof(text), len(text)), _Descriptors()
    header = _Header(pieces=ctypes.addressof(piece), piece_count=1, control=ctypes.addressof(given))
    answer = _Answer()
    message, reply = ctypes.byref(header), ctypes.byref(answer)
    status = ctypes.byref(answer, _Answer.status.offset)
    usage = ctypes.byref(answer, _Answer.user.offset)
    given_size, answer_size = ctypes.sizeof(given), ctypes.sizeof(answer)
    close = [ctypes.c_long(n) for n in (linux.CLOSE_RANGE, _KEPT[-1] + 1, _ALL, 0)]
    new, failed = linux.CLONE_NEWPID, -1
    while True:
        given.size, header.control_size = 0, given_size
        length = _libc.recvmsg(control, message, _MSG_CMSG_CLOEXEC)
        if length <= 0:
            os._exit(0)
        if given.size:
            # The child is the first process of a namespace; this process's own next forks are not.
            answer.number = failed if _libc.unshare(new) else _libc.fork()
            if answer.number == 0:
                content = ctypes.string_at(text, length)
                startup.run(_plan(content, given.numbers[:], layers, outer_proc))
            answer.error = ctypes.get_errno()
            if _libc.setns(namespace, new):
                os._exit(1)
            _libc.syscall(*close)
        else:
            answer.number = _libc.wait4(int(text.value), status, 0, usage)
            answer.error = ctypes.get_errno()
        _libc.send(control, reply, answer_size, 0)


def _plan(message: bytes, descriptors: list[int], layers: Layers, outer_proc: int) -> startup.Plan:
    plain = json.loads(message.decode())
    channel, status, output, _ = descriptors
    return startup.Plan(
        entry=plain["entry"],
        limits=plain["limits"],
        layers=layers,
        user=plain["user"],
        channel=channel,
        status=status,
        output=output,
        outer_proc=outer_proc,
        control=None,
    )
