"""The first and the last of what a child prints; the middle is dropped when it is much."""

from __future__ import annotations

_NOTE_BYTES = 64


class Excerpt:
    """Keeps at most `limit` bytes of a stream: where it began, and how it ended."""

    def __init__(self, limit: int) -> None:
        self.seen_bytes = 0
        self._half = max(0, limit - _NOTE_BYTES) // 2
        self._head = bytearray()
        self._tail = bytearray()

    def add(self, data: bytes) -> bool:
        """Take the next bytes. Returns whether the stream is longer than what is kept."""
        self.seen_bytes += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data[-self._half :] if self._half else b""
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]
        return self.seen_bytes > 2 * self._half

    def text(self) -> bytes:
        """What was kept, with a note where something is missing."""
        tail = self._tail[-self._half :] if self._half else b""
        dropped = self.seen_bytes - len(self._head) - len(tail)
        note = f"\n[... {dropped} bytes dropped ...]\n".encode() if dropped else b""
        return bytes(self._head + note + tail)
