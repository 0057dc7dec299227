"""What the processes of a tree have used, read from /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from fitness.telemetry import busy_s

_TICKS = os.sysconf("SC_CLK_TCK")
# What a candidate's process is called, also while it waits for its candidate.
RUNNER = "evo-runner"
# What all of those are copies of, where there are process namespaces.
TEMPLATE = "evo-template"


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc shows it.

    Attributes:
        pid: Its number.
        parent: Its parent's.
        own_s: CPU seconds of its own, (in user code, in the kernel).
        ended_s: The same of its children that ended and were waited for, theirs included.
        began: When it began, in clock ticks.
        name: As `ps` shows it.
    """

    pid: int
    parent: int
    own_s: tuple[float, float]
    ended_s: tuple[float, float]
    began: int
    name: str


@dataclass(frozen=True, slots=True)
class CpuByPart:
    """CPU seconds of the parts of a running search.

    Attributes:
        search: The search process, (in user code, in the kernel).
        zygote: The server, the process that watches it, and the one that others are copies of.
        baselines: The baselines' process.
        judges: The judges.
        candidates: The candidates' processes, from their fork to their end.
    """

    search: tuple[float, float]
    zygote: tuple[float, float]
    baselines: tuple[float, float]
    judges: tuple[float, float]
    candidates: tuple[float, float]

    def since(self, before: CpuByPart) -> dict[str, tuple[float, float]]:
        """What was used since an earlier look, by part."""
        return {
            field.name: _less(getattr(self, field.name), getattr(before, field.name))
            for field in fields(self)
        }


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a tree in bytes, each page shared out among those that map it.

    Attributes:
        total: All of it.
        anonymous: Heaps and stacks.
        file: Program code and other mapped files.
        shared: Shared memory.
        processes: How many there are.
    """

    total: int
    anonymous: int
    file: int
    shared: int
    processes: int


def tree(root: int) -> dict[int, Process]:
    """A process and all that descend from it, by number; zombies included."""
    everyone = {process.pid: process for process in _everyone()}
    children: dict[int, list[int]] = {}
    for process in everyone.values():
        children.setdefault(process.parent, []).append(process.pid)
    found, left = {}, [root]
    while left:
        pid = left.pop()
        if pid in everyone:
            found[pid] = everyone[pid]
        left += children.get(pid, [])
    return found


def cpu_by_part(root: int, *, workers: int) -> CpuByPart:
    """CPU seconds so far of a search process with its pool of `workers` judges, all at work.

    The candidates are what ended under the server: baselines and judges stay to the end. What a
    candidate that still runs has used is not in it.
    """
    found = tree(root)
    # A pool that was started just now is the youngest child.
    outer = max((p for p in found.values() if p.parent == root), key=_age)
    (inner,) = (p for p in found.values() if p.parent == outer.pid)
    children = [p for p in found.values() if p.parent == inner.pid]
    templates = [p for p in children if p.name == TEMPLATE]
    own = (p for p in children if p.name not in (RUNNER, TEMPLATE))
    baselines, *others = sorted(own, key=_age)
    return CpuByPart(
        search=found[root].own_s,
        zygote=_sum(outer.own_s, inner.own_s, *(p.own_s for p in templates)),
        baselines=baselines.own_s,
        judges=_sum(*(p.own_s for p in others[:workers])),
        candidates=_sum(inner.ended_s, *(p.ended_s for p in templates)),
    )


def cpu_s(root: int) -> float:
    """CPU seconds so far of a whole tree, of what has ended in it too."""
    return sum(sum(p.own_s) + sum(p.ended_s) for p in tree(root).values())


def memory(root: int) -> Memory | None:
    """What a tree holds now; None when a process began or ended while it was looked at.

    A process counts with its share of every page, and the shares change with each fork.
    """
    sums = {"Pss": 0, "Pss_Anon": 0, "Pss_File": 0, "Pss_Shmem": 0}
    before = set(tree(root))
    for pid in before:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            return None
        rows = (line.partition(":") for line in text.splitlines()[1:])
        sizes = {name: int(rest.split()[0]) * 1024 for name, _, rest in rows}
        for name in sums:
            sums[name] += sizes.get(name, 0)
    if set(tree(root)) != before:
        return None
    total, anonymous, file, shared = sums.values()
    return Memory(total, anonymous, file, shared, len(before))


@dataclass(frozen=True, slots=True)
class Load:
    """What others did to this machine meanwhile.

    Attributes:
        average: Load average of the last minute, at the end.
        others_share: Share of all processor time that others had, 0..1.
    """

    average: float
    others_share: float


class LoadWatch:
    """Tells how busy others kept the machine since it was made."""

    def __init__(self) -> None:
        self._busy_s, self._root = busy_s() or 0.0, os.getpid()
        self._ours_s, self._began = cpu_s(self._root), time.monotonic()

    def read(self, ours_s: float | None = None) -> Load:
        """Look now, while the tree is still there; `ours_s` tells its CPU seconds otherwise."""
        if ours_s is None:
            ours_s = cpu_s(self._root) - self._ours_s
        wall_s = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        others_s = (busy_s() or 0.0) - self._busy_s - ours_s
        return Load(os.getloadavg()[0], max(others_s, 0.0) / wall_s)


def _everyone() -> Iterator[Process]:
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            # The name in brackets may hold anything.
            head, _, rest = Path(entry.path, "stat").read_bytes().rpartition(b")")
            words = rest.split()
            user, system, ended_user, ended_system = (int(w) / _TICKS for w in words[11:15])
            yield Process(
                pid=int(entry.name),
                parent=int(words[1]),
                own_s=(user, system),
                ended_s=(ended_user, ended_system),
                began=int(words[19]),
                name=head.partition(b"(")[2].decode(errors="replace"),
            )


def _age(process: Process) -> tuple[int, int]:
    return process.began, process.pid


def _sum(*pairs: tuple[float, float]) -> tuple[float, float]:
    return sum(p[0] for p in pairs), sum(p[1] for p in pairs)


def _less(pair: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return pair[0] - other[0], pair[1] - other[1]
