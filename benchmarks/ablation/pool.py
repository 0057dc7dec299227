"""Many runs at once, each in a process of its own, told as each ends."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from typing import TypeVar
from unittest import mock

from populations.errors import WorkerError

_T = TypeVar("_T")
_R = TypeVar("_R")
_NICE = 5
_PROGRESS_S = 10.0
# A run has one processor: what linear algebra would start beside it only gets in others' way.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def each(function: Callable[[_T], _R], tasks: Sequence[_T], *, jobs: int) -> Iterator[_R]:
    """What a function returns of each task, in the order in which they end.

    Args:
        function: Of a module, as other processes import it.
        tasks: What it is called with; begun in their order.
        jobs: Processes.

    Raises:
        WorkerError: When all others are over, if a run failed.
    """
    began = told = time.monotonic()
    failed = 0
    # A run is made of threads of its own; a forked one would share them.
    context = multiprocessing.get_context("spawn")
    with (
        mock.patch.dict(os.environ, _ONE_THREAD),
        ProcessPoolExecutor(
            jobs, mp_context=context, initializer=os.nice, initargs=(_NICE,)
        ) as pool,
    ):
        futures = [pool.submit(function, task) for task in tasks]
        try:
            for finished, future in enumerate(as_completed(futures), 1):
                try:
                    yield future.result()
                except BrokenExecutor:
                    raise
                except Exception as error:  # noqa: BLE001 - one run's end is not the others'
                    failed += 1
                    print("".join(traceback.format_exception(error)), file=sys.stderr, flush=True)
                now = time.monotonic()
                if now - told > _PROGRESS_S or finished == len(tasks):
                    told, rate = now, finished / (now - began)
                    print(
                        f"{now - began:6.0f} s  {finished}/{len(tasks)}  {rate:.2f}/s", flush=True
                    )
        finally:
            # Nobody asks for the rest; without this they would all be carried out.
            pool.shutdown(wait=False, cancel_futures=True)
    if failed:
        raise WorkerError(
            f"{failed} of {len(tasks)} runs failed; the same command tries them again"
        )
