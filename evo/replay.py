"""`evo run EXPERIMENT --replay RUN`: grow a recorded run's lineage again, without a device.

The same search with the same seed meets the same measurements, so it must propose the same kernels
from the same parents. Nothing is built, run or timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from evo.budget import Budget
from evo.config import Config
from evo.directory import created
from populations.errors import StoreError, WorkerError
from populations.kernel import Candidate, Kernel
from populations.store import Store

if TYPE_CHECKING:
    from evo.device import Device
    from evo.events import Observer

# What is taken over from the recorded run as it stands.
ADOPTED = ("baselines", "facts", "target")


def replay(config: Config, directory: Path, recorded: Path) -> int:
    """Grow the lineage again in `directory`, and compare it with the recorded one.

    Returns:
        The exit status: 0 when the lineages are the same, 1 when they are not.

    Raises:
        StoreError: There is no such run, or it is another experiment's.
    """
    from evo.outputs import announce
    from evo.view import terminal_view

    with Store.open(recorded, fingerprint=config.fingerprint(), read_only=True) as old:
        kernels = _unbroken(old)
        if not kernels:
            raise StoreError(f"{recorded}: holds no judged kernel to replay")
        with created(config, directory) as store, terminal_view() as view:
            for key in ADOPTED:
                store.set_meta(key, old.meta(key))
            announce(config, store, directory, view)
            difference = _grown(config, old, store, kernels, view)
            _finish(old, store, directory, view, difference)
    return 1 if difference else 0


def _grown(
    config: Config, old: Store, store: Store, kernels: Sequence[Kernel], view: Observer
) -> str:
    """Search over the recorded measurements; where the lineage differs, or ""."""
    from evo.experiment import build_search
    from fitness.replay import Recorded

    device: Device = old.meta("target")
    # How long the recorded run took, and when it was interrupted, is no part of its lineage.
    limits = Budget(evaluations=len(kernels))
    recorded = Recorded(old.find)
    search = build_search(config, device, recorded, store, view, limits=limits)
    failure = ""
    try:
        search.run([kernel for kernel in kernels if not kernel.candidate.parents])
    except WorkerError as error:
        failure = str(error)
    again = store.candidates()
    for number, kernel in enumerate(kernels):
        if number >= len(again) or again[number] != kernel.candidate:
            now = _described(again[number]) if number < len(again) else "nothing"
            return f"kernel #{number}: recorded {_described(kernel.candidate)}, now {now}"
    return failure


def _finish(old: Store, store: Store, directory: Path, view: Observer, difference: str) -> None:
    from evo.outputs import finish

    count = len(store.kernels())
    if difference:
        store.set_meta("reason", f"the lineage differs from the recorded one at {difference}")
    else:
        store.set_meta("reason", f"replayed: the same lineage of {count} kernels")
        if count == len(old.candidates()):
            store.set_meta("final", old.meta("final"))
    finish(store, directory, view)


def _unbroken(store: Store) -> list[Kernel]:
    """The kernels up to the first that was still under evaluation when the run ended."""
    kernels = enumerate(store.kernels())
    return [kernel for _, kernel in takewhile(lambda pair: pair[0] == pair[1].number, kernels)]


def _described(candidate: Candidate) -> str:
    parents = " and ".join(f"#{parent}" for parent in candidate.parents)
    of = f" of {parents}" if parents else ""
    return f"{candidate.operator}{of} ({candidate.digest})"
