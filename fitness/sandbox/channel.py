"""Messages between two processes over one end each of a socket pair.

What a judge learns from a runner is data: numbers, strings, lists and dictionaries, of limited
length. Python objects travel the other way only. An end made with `trusted=False` has no way to
read an object or a file descriptor, whatever the other side sends.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import pickle
import select
import socket
import struct
import time
from typing import Any

from populations.errors import WorkerDied, WorkerError, WorkerTimeout

# One byte for the kind (json, pickle, descriptors), four for the length of what follows.
_HEADER = struct.Struct("!cI")
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_JSON, _PICKLE, _DESCRIPTORS = b"J", b"P", b"F"
_MAX_DESCRIPTORS = 64
_PIECE_BYTES = 1 << 20
_LIMIT_BYTES = 8 * 1024**2
_SEND_LIMIT_S = 30.0


class ForgedMessage(WorkerDied):
    """The other process sent what it never should: the connection is of no more use."""


class Channel:
    """One end of a two-way message stream; used by one thread at a time.

    Every receiving method raises `WorkerTimeout` when no whole message came in time, `WorkerDied`
    when the other process is gone, and `ForgedMessage` (a `WorkerDied`) when what came is not the
    message that was due; the last two leave the channel unusable. Sending raises `WorkerDied`
    when the other process is gone and `WorkerTimeout` when it does not take the message.
    """

    def __init__(self, end: socket.socket, *, trusted: bool) -> None:
        """Take over one end of a stream socket pair.

        Args:
            end: The socket; closed by `close`.
            trusted: Whether the other side is our own code. Only then may objects and file
                descriptors be received here.
        """
        self._socket = end
        self._trusted = trusted
        # Bytes of the message that is on its way: a time-out in the middle of it loses nothing.
        self._pending = bytearray()
        self._descriptors: list[int] = []
        end.setblocking(False)

    @property
    def trusted(self) -> bool:
        """Whether objects may be received here."""
        return self._trusted

    def fileno(self) -> int:
        """The file descriptor, readable when a message or the other side's end has come."""
        return self._socket.fileno()

    def close(self) -> None:
        """End the stream; the other side reads an end. Callable twice."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self._socket.close()

    def send(self, message: Any) -> None:
        """Send JSON-able data (not a number or infinity included)."""
        self._send(_JSON, _ENCODER.encode(message).encode())

    def receive(self, timeout_s: float | None, *, limit_bytes: int = _LIMIT_BYTES) -> Any:
        """Wait for data and return it; None waits for ever.

        A message longer than `limit_bytes` counts as forged.
        """
        payload = self._receive(_JSON, timeout_s, limit_bytes)
        try:
            return json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise ForgedMessage(f"a child sent broken data: {error}") from error

    def send_trusted(self, value: object) -> None:
        """Send any object that pickle takes, to a process that may receive it."""
        self._send(_PICKLE, pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))

    def receive_trusted(self, timeout_s: float | None) -> Any:
        """Wait for an object. Refused with WorkerError on an end that is not trusted."""
        self._require_trust("receive_trusted")
        return pickle.loads(self._receive(_PICKLE, timeout_s, 1 << 32))

    def send_fds(self, descriptors: list[int]) -> None:
        """Send open file descriptors; they stay open here too."""
        if not 0 < len(descriptors) <= _MAX_DESCRIPTORS:
            raise ValueError(f"need 1..{_MAX_DESCRIPTORS} descriptors, but got {len(descriptors)}")
        self._send(_DESCRIPTORS, bytes([len(descriptors)]), descriptors)

    def receive_fds(self, timeout_s: float | None) -> list[int]:
        """Wait for file descriptors, which are the caller's to close; not inherited by programs.

        Refused with WorkerError on an end that is not trusted.
        """
        self._require_trust("receive_fds")
        (count,) = self._receive(_DESCRIPTORS, timeout_s, 1)
        received, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        if len(received) != count:
            raise ForgedMessage(f"{count} file descriptors announced, {len(received)} received")
        return received

    def _require_trust(self, what: str) -> None:
        if not self._trusted:
            raise WorkerError(f"{what} is refused on the channel of an untrusted child")

    def _send(self, kind: bytes, payload: bytes, descriptors: list[int] | None = None) -> None:
        view = memoryview(_HEADER.pack(kind, len(payload)) + payload)
        ancillary = []
        if descriptors:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        deadline = time.monotonic() + _SEND_LIMIT_S
        while view:
            try:
                sent = self._socket.sendmsg([view[:_PIECE_BYTES]], ancillary, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline)
                continue
            except OSError as error:
                raise WorkerDied(f"a child ended before it took a message: {error}") from error
            view, ancillary = view[sent:], []

    def _receive(self, kind: bytes, timeout_s: float | None, limit_bytes: int) -> bytes:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._fill(_HEADER.size, deadline)
        found, length = _HEADER.unpack_from(self._pending)
        if found != kind or length > limit_bytes:
            raise ForgedMessage(
                f"a child sent {length} bytes of kind {found!r} where at most {limit_bytes} "
                f"bytes of kind {kind!r} were due"
            )
        total = _HEADER.size + length
        self._fill(total, deadline)
        payload = bytes(memoryview(self._pending)[_HEADER.size : total])
        self._pending = bytearray()
        return payload

    def _fill(self, total: int, deadline: float | None) -> None:
        while (missing := total - len(self._pending)) > 0:
            try:
                data = self._read(min(missing, _PIECE_BYTES))
            except BlockingIOError:
                self._wait(select.POLLIN, deadline)
                continue
            except ConnectionResetError:
                # It ended with a message of ours unread; what it had sent comes after this.
                continue
            except OSError as error:
                raise WorkerDied(f"a child's channel broke: {error}") from error
            if not data:
                raise WorkerDied("a child ended before it answered")
            self._pending += data

    def _read(self, size: int) -> bytes:
        if not self._trusted:
            # Descriptors that come along are closed by the kernel: there is no room for them.
            return self._socket.recv(size)
        data, ancillary, _, _ = self._socket.recvmsg(
            size, socket.CMSG_SPACE(4 * _MAX_DESCRIPTORS), socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array.array("i")
                numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
                self._descriptors.extend(numbers)
        return data

    def _wait(self, event: int, deadline: float | None) -> None:
        poll = select.poll()
        poll.register(self._socket, event)
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise WorkerTimeout("a child did not answer in time")
            # Rounded up to a millisecond: a shorter wait would spin.
            if poll.poll(None if left is None else left * 1000 + 1):
                return


def shared_memory(size_bytes: int) -> int:
    """Make anonymous shared memory and return its file descriptor.

    Its size is sealed: a process that receives it can write its contents but cannot shrink it,
    which would crash everybody who has it mapped.
    """
    descriptor = os.memfd_create("evo", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size_bytes)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
