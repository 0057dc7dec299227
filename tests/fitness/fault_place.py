"""A pool whose static gate is open, and what must hold before and after each candidate."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.tree import RUNNER
from fitness.pool import LocalPool
from fitness.spec import EvaluationSpec
from populations.kernel import Candidate
from populations.outcome import Evaluation
from tests.fitness.test_pool import descendants

PROBLEM = Path(__file__).parent / "problems" / "add.py"
RUN_LIMIT_S = 3.0
# What a verdict may take beyond the time that the candidate is given.
BEYOND_S = 2.0
MEMORY_BYTES = 512 << 20
SECRET = "sk-of-whoever-started-the-search"
SOURCE = """
import ctypes
import os
import signal
import socket
import sys
import threading
import time

import torch
from torch import nn


def misbehave():
{body}


class ModelNew(nn.Module):
    def forward(self, a, b):
        misbehave()
        return a + b
"""


@dataclass(frozen=True)
class Place:
    """A pool at work, and the folder that is all of the disk it should touch."""

    pool: LocalPool
    folder: Path
    run: Path
    processes: frozenset[int]

    def judged(self, source: str, language: str = "python") -> Evaluation:
        """Judge a source in time, and find everything as it was before."""
        start = time.monotonic()
        evaluation = self.pool.evaluate_once(Candidate(0, source, language))
        # Building is not the candidate's time.
        took_s = time.monotonic() - start - evaluation.build_s
        assert took_s < self.pool.spec.run_limit_s + BEYOND_S
        self.nothing_left()
        honest = self.pool.evaluate_once(candidate("pass"))
        assert honest.passed, honest.diagnostics
        self.nothing_left()
        return evaluation

    def nothing_left(self) -> None:
        """Of all candidates: the process that waits for the next one, and its folder, are there."""
        deadline = time.monotonic() + BEYOND_S
        while True:
            found = frozenset(descendants(self.pool._zygote.pid))
            (folder,) = self.folder.iterdir()  # the judge's own
            waiting, folders = found - self.processes, list(folder.iterdir())
            # Nothing of a candidate is in the folder of one that waits.
            unused = not any(any(each.iterdir()) for each in folders)
            if self.processes <= found and len(waiting) <= 1 and len(folders) <= 1 and unused:
                return
            assert time.monotonic() < deadline, (found, self.processes, folders)
            time.sleep(0.01)


@contextmanager
def opened(base: Path, run_limit_s: float, memory_bytes: int = MEMORY_BYTES) -> Iterator[Place]:
    names = ("tmp", "run", "locks", "cache")
    for name in names:
        (base / name).mkdir(mode=0o700)
    (base / "run" / "run.db").write_text("what a search has found")
    spec = EvaluationSpec(
        problem=PROBLEM,
        cache_dir=base / "cache",
        baselines=("eager",),
        pairs=5,
        timing_budget_s=0.02,
        workers=1,
        run_limit_s=run_limit_s,
        memory_bytes=memory_bytes,
        processes=48,
        gate=False,
        # One batch each: this is not about clocks, which a busy machine disturbs.
        interpret_triton=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(base / "locks"))
        patch.setenv("TMPDIR", str(base / "tmp"))
        for name in ("OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "EVO_SECRET"):
            patch.setenv(name, SECRET)
        pool = LocalPool(spec)
        with pool:
            assert pool.evaluate_once(candidate("pass")).passed
            found = descendants(pool._zygote.pid)
            processes = frozenset(pid for pid in found if _name(pid) not in {"", RUNNER})
            yield Place(pool, base / "tmp", base / "run", processes)


def _name(pid: int) -> str:
    """What `ps` shows; "" for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def candidate(body: str) -> Candidate:
    text = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return Candidate(0, SOURCE.format(body=text), "python")


def source(body: str) -> str:
    return candidate(body).source


def needs(place: Place, *names: str) -> None:
    layers = place.pool.layers()
    if missing := [str(layers[name]) for name in names if not layers[name].on]:
        pytest.skip("; ".join(missing))
