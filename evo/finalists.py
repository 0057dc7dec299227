"""The last measurement of a search: which of the best kernels is the champion.

The best of many noisy measurements is partly luck. The champion is the finalist that is the fastest
in this second, longer measurement, on fresh seeds and against every baseline, and the numbers
reported are those of it. It is judged there anew in processes of its own, with more questions than
in the search; until then a champion is provisional.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evo.config import Config
from evo.events import Message, Observer
from evo.experiment import chosen_target
from evo.outputs import plain_row
from evo.tables import WorkloadRow, first_passed, one_line
from populations.errors import WorkerError

if TYPE_CHECKING:
    from evo.device import Device
    from evo.search import Search
    from fitness.landscape.pool import LandscapePool
    from fitness.pool import LocalPool
    from fitness.report import FinalReport
    from populations.kernel import Kernel

_REASON_SHOWN = 300


def measure_finalists(
    config: Config,
    device: Device,
    pool: LocalPool | LandscapePool,
    search: Search,
    observer: Observer,
) -> None:
    """Time the best kernels once more and store the champion's result as it stands each time.

    A kernel that fails falls, and the next best takes its place; the event "verified" keeps why.
    The store's meta "final" then names the champion, or none when all of them fell.
    """
    target = chosen_target(config, device)
    store = search.parts.store
    best: tuple[float, dict[str, Any]] | None = None
    measured = 0
    founder = first_passed(search.lineage.kernels.values())
    for kernel in _ranked(search):
        if measured == config.search.finalists:
            break
        observer.notify(Message(f"measuring finalist #{kernel.number} again"))
        try:
            report = pool.verify(
                kernel.candidate,
                seed=founder.candidate if founder else None,
                workloads=target.final_workloads or target.workloads,
            )
        except WorkerError as error:
            observer.notify(Message(f"finalist #{kernel.number} was not measured: {error}"))
            measured += 1
            continue
        word = {"number": kernel.number, "outcome": str(report.outcome)}
        if report.speedup is None:
            store.add_event("verified", {**word, "reason": report.diagnostics})
            reason = f"{report.outcome}: {one_line(report.diagnostics, _REASON_SHOWN)}"
            observer.notify(Message(f"finalist #{kernel.number} fell: {reason}"))
            if best is None:
                store.set_meta("final", {"champion": None, "rows": []})
            continue
        store.add_event("verified", word)
        measured += 1
        if best is None or report.speedup.low > best[0]:
            final = {"champion": kernel.number, **final_rows(report)}
            best = report.speedup.low, final
            store.set_meta("final", final)


def final_rows(report: FinalReport) -> dict[str, Any]:
    """A verification as the store keeps it: the closing table and the overall speedup."""
    speedup = report.speedup
    return {
        "rows": [plain_row(row) for row in rows_of(report)],
        "speedup": [speedup.value, speedup.low, speedup.high] if speedup else None,
    }


def rows_of(report: FinalReport) -> list[WorkloadRow]:
    """The closing table of a verification: all times of a row are from the same rounds."""
    others = ("candidate", "control", "seed")
    return [
        WorkloadRow(
            workload=entry.workload,
            seed_ms=entry.times_ms.get("seed"),
            baselines_ms={k: v for k, v in entry.times_ms.items() if k not in others},
            champion_ms=entry.times_ms["candidate"],
            baseline=entry.fastest.baseline,
            speedup=entry.fastest.speedup,
        )
        for entry in report.workloads
    ]


def _ranked(search: Search) -> Sequence[Kernel]:
    """Kernels that passed: the search's champion, then the policy's members, best first."""
    champion = search.champion
    members = [kernel for kernel in search.parts.policy.members if kernel.passed]
    return [champion, *(k for k in members if k.number != champion.number)] if champion else members
