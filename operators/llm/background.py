"""A thread with an asyncio loop of its own, on which questions are asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

_Result = TypeVar("_Result")
# Longest that `close` waits for coroutines that do not end although they were cancelled.
FAREWELL_S = 10.0


class Background:
    """Runs coroutines for a thread that has no loop. Starts with the first of them."""

    def __init__(self, name: str, *, at_end: Callable[[], Awaitable[object]] | None = None) -> None:
        """Prepare a thread.

        Args:
            name: Of the thread.
            at_end: Called on the loop after the last coroutine has ended.
        """
        self._name = name
        self._at_end = at_end
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, work: Coroutine[Any, Any, _Result]) -> Future[_Result]:
        """Run `work`; after `close`, drop it: the future is cancelled."""
        if self._closed:
            work.close()
            dropped: Future[_Result] = Future()
            dropped.cancel()
            return dropped
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Cancel what runs and end the thread. Callable twice."""
        self._closed = True
        if self._loop is not None and self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(FAREWELL_S)

    def _run(self) -> None:
        assert self._loop is not None  # noqa: S101 - for the type checker
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._end())
        finally:
            self._loop.close()

    async def _end(self) -> None:
        await _cancel_all()
        if self._at_end is not None:
            await self._at_end()
        await _cancel_all()
        loop = asyncio.get_running_loop()
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()


async def _cancel_all() -> None:
    """Cancel every other task, and those that they begin meanwhile; ends when all have ended."""
    mine = asyncio.current_task()
    while rest := asyncio.all_tasks() - {mine}:
        # One that has not begun is let begin: its coroutine would otherwise never be awaited.
        await asyncio.sleep(0)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
