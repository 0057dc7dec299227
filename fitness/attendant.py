"""A thread beside a judge that ends candidates' processes and begins the next one meanwhile.

Ending a process of torch's size takes the kernel 3 ms and beginning one takes 8, in which a judge
would wait. Both are done under a hold of the device of the thread's own, so that nobody times
meanwhile: whoever wants the device alone waits for this as for every other work.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from fitness.lease import DeviceLease
from fitness.process import CandidateProcess
from fitness.vacancy import Vacancy
from populations.errors import WorkerError


class Attendant:
    """Does one thing after the other, in the order asked; called by one thread.

    No method may be called by whoever holds the device: they may wait for this one's own hold,
    which waits for anybody who wants the device alone, who waits for the caller.
    """

    def __init__(self, lease: DeviceLease) -> None:
        """Start no thread yet.

        Args:
            lease: The device's, for this object alone; closed at the end.
        """
        self._lease = lease
        self._thread = ThreadPoolExecutor(1, "attendant")
        self._ending: Future[None] | None = None
        self._begun: tuple[object, Future[Vacancy]] | None = None

    def begin(self, kind: object, make: Callable[[], Vacancy]) -> None:
        """Have a process ready for the next candidate.

        Args:
            kind: What it is like, for `take`.
            make: Starts it.
        """
        if self._begun is None:
            self._begun = kind, self._thread.submit(self._settled, make)

    def take(self, kind: object) -> Vacancy | None:
        """The process that was begun; None where there is none of that kind, or it did not begin.

        Does not wait for those that are being ended. Raises WorkerError when one could not be.
        """
        if self._ending is not None and self._ending.done():
            ending, self._ending = self._ending, None
            ending.result()
        if self._begun is None:
            return None
        (found, future), self._begun = self._begun, None
        try:
            vacancy = future.result()
        except WorkerError:
            # Whoever starts one instead is told why that cannot be done.
            return None
        if found == kind:
            return vacancy
        vacancy.end()
        return None

    def rest(self) -> None:
        """Return when nothing is being done any more: what ends beside a timing would be heard."""
        self._thread.submit(_nothing).result()

    def end(self, process: CandidateProcess) -> None:
        """Kill a candidate's process, which is asked nothing any more."""
        self._ending = self._thread.submit(self._ended, process)

    def close(self) -> None:
        """End what was begun; returns when all is over."""
        with suppress(WorkerError):
            if vacancy := self.take(self._begun[0] if self._begun else None):
                vacancy.end()
        self._thread.shutdown()
        self._lease.close()

    def _settled(self, make: Callable[[], Vacancy]) -> Vacancy:
        with self._lease.shared():
            vacancy = make()
            try:
                vacancy.settle()
            except WorkerError:
                vacancy.end()
                raise
            return vacancy

    def _ended(self, process: CandidateProcess) -> None:
        with self._lease.shared():
            process.end()


def _nothing() -> None:
    pass
