"""Peak memory of the process tree, and what torch alone costs on the same machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import trivial
from benchmarks.tree import Memory, memory
from populations.store import Store

_EVERY_S = 0.02


class Sampler:
    """Looks at this process's tree again and again while the context lasts."""

    def __init__(self) -> None:
        self.peak: Memory | None = None
        self.samples = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._end.wait(_EVERY_S):
            if (now := memory(os.getpid())) is None:
                continue
            self.samples += 1
            if self.peak is None or now.total > self.peak.total:
                self.peak = now


def settled(pid: int) -> Memory:
    """What a tree holds at the next moment at which none of its processes begins or ends."""
    while (now := memory(pid)) is None:
        time.sleep(_EVERY_S)
    return now


def torch_alone() -> dict[str, Any]:
    """What a process holds that has imported torch and nothing else."""
    program = "import torch, sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        if process.stdout is None or not process.stdout.readline():
            raise OSError("torch cannot be imported")
        found = settled(process.pid)
        process.communicate()
    return asdict(found)


def measure(candidates: int) -> dict[str, Any]:
    """Search for so many candidates and look at the memory meanwhile.

    Pages that other programs on the machine map too (torch's code, for one) count in part, on both
    sides alike: `torch` is taken right before the search.

    Returns:
        JSON-able, bytes: `torch`, `before_search` (baselines measured, seeds judged), `peak`.
    """
    experiment = trivial.config()
    torch = torch_alone()
    with tempfile.TemporaryDirectory(prefix="evo-bench-") as folder, Sampler() as sampler:
        text, fingerprint = experiment.text, experiment.fingerprint()
        with (
            trivial.ready_pool(experiment) as (pool, seeds),
            Store.create(Path(folder), experiment=text, fingerprint=fingerprint) as store,
        ):
            before = settled(os.getpid())
            total = candidates + len(seeds)
            trivial.build(experiment, pool, store, evaluations=total).run(seeds)
    if sampler.peak is None:
        raise OSError("the search ended before its memory was looked at")
    return {
        "candidates": candidates,
        "torch": torch,
        "before_search": asdict(before),
        "peak": asdict(sampler.peak),
        "above_torch": sampler.peak.total - torch["total"],
        "samples": sampler.samples,
    }
