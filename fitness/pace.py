"""Ask for one batch after another with as little as possible around it.

Between two batches of a pair lies a question and an answer. Over a channel of JSON they take about
90 us, as long as a short batch itself; here they are one small packet each way, about 20 us.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Set
from enum import IntEnum
from typing import NamedTuple

# nonce; then the fields of a Request in their order
_REQUEST = struct.Struct("<QHIIddQQiB")
# nonce, launch_ms, late, number of times; then one double per time and per sample
_ANSWER = struct.Struct("<Qd?H")
_MOST_NUMBERS = 4096
# seconds, microseconds: how long the kernel lets a socket wait
_PATIENCE = struct.Struct("@ll")
# A limit that differs by less from the one that is set is not set anew.
_LIMIT_STEP_S = 0.5
_NONCES = struct.Struct("<64Q")


class Way(IntEnum):
    """How a batch is run on a device that launches run ahead of."""

    TIMED = 0
    """The device is held back as asked, its cache flushed before every call."""
    BARE = 1
    """Neither: nothing but the calls and the renewal of their inputs."""
    EMPTY = 2
    """As BARE, and the subject is not called."""


class Request(NamedTuple):
    """One batch to be timed.

    Attributes:
        subject: Number of the subject, where a process has several.
        calls: How many calls to time; 0 for none, then it settles or looks.
        first: Number of the set of inputs for the first call; each call takes the next.
        settle_ms: Call for this long before; at least one call unless 0.
        held_ms: How long to hold a device back so that the host can launch ahead.
        secret: What the contents of the calls follow from (`fitness.variation`), those of the last
            one directly.
        sample: Seed of the positions at which to read what the last call of the batch before left;
            0 for none. Asked for afterwards, so that nobody knows which calls are looked at.
        processor: Number of the processor to begin on; negative for any.
        way: A `Way`.
    """

    subject: int
    calls: int
    first: int = 0
    settle_ms: float = 0.0
    held_ms: float = 0.0
    secret: int = 1
    sample: int = 0
    processor: int = -1
    way: int = Way.TIMED


class Answer(NamedTuple):
    """What came of a batch.

    Attributes:
        times_ms: One number per call; [0.0] for no calls.
        launch_ms: How long the host took to launch all calls; 0 where a call ends when it returns.
        late: Whether the device had nothing to do before that was over.
        samples: What stood at the sampled positions, output after output.
    """

    times_ms: list[float]
    launch_ms: float = 0.0
    late: bool = False
    samples: tuple[float, ...] = ()


class Silence(Exception):
    """No answer came, or none that fits the question."""


class Late(Silence):
    """No answer came in time."""


class Pacemaker:
    """The asking end. Nothing that comes back is believed beyond being numbers."""

    def __init__(self) -> None:
        """Make the connection; `theirs` is to be handed to the other process."""
        self._ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._limit_s = 0.0
        self._nonces: list[int] = []

    def batch(self, request: Request, limit_s: float) -> Answer:
        """Have one batch timed, within about half a second of a limit. Raises Silence or Late."""
        if not self._nonces:
            self._nonces += _NONCES.unpack(os.urandom(_NONCES.size))
        nonce = self._nonces.pop()
        try:
            self._wait_at_most(max(limit_s, 1e-3))
            self._ours.send(_REQUEST.pack(nonce, *request))
            data = self._ours.recv(_ANSWER.size + 8 * _MOST_NUMBERS)
        except BlockingIOError as error:
            raise Late(str(error)) from error
        except OSError as error:
            raise Silence(str(error)) from error
        numbers, rest = divmod(len(data) - _ANSWER.size, 8)
        if numbers < 1 or rest:
            raise Silence("the answer does not fit the question")
        answered, launch_ms, late, count = _ANSWER.unpack_from(data)
        if answered != nonce or count > numbers:
            raise Silence("the answer does not fit the question")
        values = struct.unpack_from(f"<{numbers}d", data, _ANSWER.size)
        return Answer(list(values[:count]), launch_ms, late, values[count:])

    def _wait_at_most(self, limit_s: float) -> None:
        # By the kernel: with a limit of Python's own every answer is waited for by a further call.
        if abs(limit_s - self._limit_s) > min(_LIMIT_STEP_S, limit_s / 2):
            limit = _PATIENCE.pack(int(limit_s), int(limit_s % 1 * 1e6))
            for way in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                self._ours.setsockopt(socket.SOL_SOCKET, way, limit)
            self._limit_s = limit_s

    def handed_over(self) -> None:
        """Forget the other process's end, now that it has its own."""
        self.theirs.close()

    def close(self) -> None:
        """End it: the other process stops following. Callable twice."""
        self._ours.close()
        self.theirs.close()


def follow(descriptor: int, batch: Callable[[Request], Answer], home: Set[int]) -> None:
    """Time batches as asked, until the other side ends it. What `batch` raises passes through.

    Args:
        descriptor: Of the socket.
        batch: Times one.
        home: The processors that this process may use. To be found out when it begins: who asks
            for the first batch may have brought it to one before it follows.
    """
    try:
        with socket.socket(fileno=descriptor) as end:
            end.setblocking(True)
            _follow(end, batch, home)
    finally:
        # Whoever had it brought somewhere may have died before asking.
        os.sched_setaffinity(0, home)


def _follow(end: socket.socket, batch: Callable[[Request], Answer], home: Set[int]) -> None:
    while data := end.recv(_REQUEST.size):
        nonce, *fields = _REQUEST.unpack(data)
        request = Request(*fields)
        if request.processor >= 0:
            _go(request.processor, home)
        answer = batch(request)
        numbers = (*answer.times_ms, *answer.samples)
        head = _ANSWER.pack(nonce, answer.launch_ms, answer.late, len(answer.times_ms))
        try:
            end.send(head + struct.pack(f"<{len(numbers)}d", *numbers))
        except (BrokenPipeError, ConnectionResetError):
            # Nobody waits for it any more.
            return


def _go(processor: int, home: Set[int]) -> None:
    """Bring this thread to one processor, without keeping it there: a neighbour may come.

    Whoever asked may have brought it there already (`fitness.clocks.bring`).
    """
    if processor in home:
        os.sched_setaffinity(0, {processor})
    os.sched_setaffinity(0, home)
