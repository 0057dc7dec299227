"""Messages with descriptors over packet sockets, for processes that know sockets by number."""

from __future__ import annotations

import array
import contextlib
import socket
from collections.abc import Sequence

_MESSAGE_BYTES = 1 << 16
_MOST_DESCRIPTORS = 4


def receive(descriptor: int) -> tuple[bytes, list[int]]:
    """One message and the descriptors that came with it; empty at its end."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=descriptor)
    try:
        space = socket.CMSG_SPACE(4 * _MOST_DESCRIPTORS)
        data, ancillary, _, _ = end.recvmsg(_MESSAGE_BYTES, space, socket.MSG_CMSG_CLOEXEC)
    except OSError:
        return b"", []
    finally:
        end.detach()
    numbers = array.array("i")
    for _, _, content in ancillary:
        numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
    return data, list(numbers)


def send(descriptor: int, message: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send one message without waiting; an owner that is gone needs none."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=descriptor)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    try:
        with contextlib.suppress(OSError):
            end.sendmsg(
                [message],
                ancillary if descriptors else [],
                socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL,
            )
    finally:
        end.detach()
