"""While a candidate's compiler works, others may have the device.

Triton compiles at a kernel's first launch, in the candidate's own process, for a quarter of a
second to several seconds in which the device rests. The process tells the judge before and after;
the judge gives its hold of the lease back in between and takes it again. A process that tells it
wrongly gains nothing: compiling counts towards its time limit like everything it does, and who may
use the device is between judges alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

ASIDE = "aside"
"""Key of the message that compiling begins; its value is the nonce of the question."""
BACK = "back"
"""The same when it is over; then the process waits for an answer."""


class Compiling:
    """Announces compilations in a candidate's process."""

    def __init__(self, channel: Any) -> None:
        """Watch Triton's compiler from now on.

        Args:
            channel: To the judge.
        """
        import triton.compiler

        self._channel = channel
        self._nonce = ""
        self._thread = 0
        # Looked up by name when a kernel is first launched.
        triton.compiler.compile = self._announced(triton.compiler.compile)

    @contextmanager
    def announced(self, nonce: str) -> Iterator[None]:
        """Announce what compiles meanwhile as part of the question with this nonce."""
        self._nonce, self._thread = nonce, threading.get_ident()
        try:
            yield
        finally:
            self._nonce = ""

    def _announced(self, compile_: Callable[..., Any]) -> Callable[..., Any]:
        def announcing(*args: Any, **kwargs: Any) -> Any:
            nonce = self._nonce
            # What a candidate's own threads compile, others wait for.
            if not nonce or threading.get_ident() != self._thread:
                return compile_(*args, **kwargs)
            # One compilation may begin another.
            self._nonce = ""
            self._channel.send({ASIDE: nonce})
            try:
                return compile_(*args, **kwargs)
            finally:
                self._channel.send({BACK: nonce})
                self._channel.receive(None)
                self._nonce = nonce

        return announcing
