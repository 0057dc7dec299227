"""Ask for one batch after another with as little as possible around it.

Between two batches of a pair lies a question and an answer. Over a channel of JSON they take about
90 us, as long as a short batch itself; here they are one small packet each way, about 20 us.
"""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Callable

# nonce, number of the subject, calls, settle_ms
_REQUEST = struct.Struct("<QHId")
# nonce; then one double per time
_ANSWER = struct.Struct("<Q")
_MOST_TIMES = 256
Batch = Callable[[int, int, float], list[float]]
"""Times one batch: (number of the subject, calls, settle_ms) -> milliseconds per call."""


class Silence(Exception):
    """No answer came, or none that fits the question."""


class Late(Silence):
    """No answer came in time."""


class Pacemaker:
    """The asking end. Nothing that comes back is believed beyond being numbers."""

    def __init__(self) -> None:
        """Make the connection; `theirs` is to be handed to the other process."""
        self._ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def batch(self, subject: int, calls: int, settle_ms: float, limit_s: float) -> list[float]:
        """Have one batch timed; milliseconds per call. Raises Silence or Late."""
        nonce = secrets.randbits(64)
        try:
            self._ours.settimeout(max(limit_s, 1e-3))
            self._ours.send(_REQUEST.pack(nonce, subject, calls, settle_ms))
            data = self._ours.recv(_ANSWER.size + 8 * _MOST_TIMES)
        except TimeoutError as error:
            raise Late(str(error)) from error
        except OSError as error:
            raise Silence(str(error)) from error
        count, rest = divmod(len(data) - _ANSWER.size, 8)
        if count < 1 or rest or _ANSWER.unpack_from(data)[0] != nonce:
            raise Silence("the answer does not fit the question")
        return list(struct.unpack_from(f"<{count}d", data, _ANSWER.size))

    def handed_over(self) -> None:
        """Forget the other process's end, now that it has its own."""
        self.theirs.close()

    def close(self) -> None:
        """End it: the other process stops following. Callable twice."""
        self._ours.close()
        self.theirs.close()


def follow(descriptor: int, batch: Batch) -> None:
    """Time batches as asked, until the other side ends it. What `batch` raises passes through."""
    with socket.socket(fileno=descriptor) as end:
        end.setblocking(True)
        while data := end.recv(_REQUEST.size):
            nonce, subject, calls, settle_ms = _REQUEST.unpack(data)
            times = batch(subject, calls, settle_ms)
            try:
                end.send(_ANSWER.pack(nonce) + struct.pack(f"<{len(times)}d", *times))
            except (BrokenPipeError, ConnectionResetError):
                # Nobody waits for it any more.
                return
