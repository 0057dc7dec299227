"""`evo replay RECORDING`: grow a recorded run's lineage again, without device and model.

The same search with the same seed meets the same measurements and is given the same answers, so it
must propose the same kernels from the same parents. Nothing is built, run, timed or asked.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from evo.apart import settings_of_before
from evo.budget import Budget
from evo.config import Config, load_config
from evo.directory import check, created
from evo.events import Event, Finished
from evo.resumption import Past
from populations.errors import ConfigError, StoreError, WorkerError
from populations.kernel import Kernel
from populations.store import Store

if TYPE_CHECKING:
    from evo.device import Device
    from evo.events import Observer

# What is taken over from the recorded run as it stands.
ADOPTED = ("baselines", "facts", "target", "device_lines", "device_facts")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `evo replay`.

    Returns:
        The exit status: 0; 1 when the lineage came out different; 2 for bad input.
    """
    parser = argparse.ArgumentParser(prog="evo replay", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("recording", type=Path, help="the directory of a run")
    parser.add_argument(
        "experiment", type=Path, nargs="?", help="its experiment file (default: the run's own)"
    )
    parser.add_argument("--dir", type=Path, help="where the new run goes (default: nowhere)")
    options = parser.parse_args(arguments)
    from evo.signals import guarded

    return guarded(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    config = _experiment(options.recording, options.experiment)
    if options.dir is not None:
        check(config, options.dir, resume=False)
        return replay(config, options.dir, options.recording)
    with tempfile.TemporaryDirectory(prefix="evo-replay-") as folder:
        return replay(config, Path(folder), options.recording, view=_Briefly())


class _Briefly:
    """An observer that says how the replay ended, and nothing else."""

    def notify(self, event: Event) -> None:
        """Print the reason of a run's end."""
        if isinstance(event, Finished):
            print(event.reason)


def _experiment(recorded: Path, given: Path | None) -> Config:
    """The experiment of a run: the file given, its own text, or the shipped one of its name.

    Raises:
        ConfigError: None of them can be read, or is the run's.
        StoreError: There is no run.
    """
    with Store.open(recorded, read_only=True) as old:
        name, overrides = old.meta("name"), old.meta("overrides") or ()
        if given is not None:
            return load_config(given, overrides)
        fingerprint = old.meta("fingerprint")
        # The run's own text names files where they were, on the machine that it was made on.
        for path, changes in (
            (recorded / "config.toml", ()),
            (Path(f"experiments/{name}.toml"), overrides),
        ):
            with suppress(ConfigError):
                config = load_config(path, changes)
                before = load_config(path, (*changes, *settings_of_before(config, old)))
                for each in (config, before):
                    if each.fingerprint() == fingerprint:
                        return each
    raise ConfigError(
        f"{recorded}: its problem and seeds are not where they were, or have changed; name the "
        f"experiment file: evo replay {recorded} EXPERIMENT"
    )


def replay(config: Config, directory: Path, recorded: Path, *, view: Observer | None = None) -> int:
    """Grow the lineage again in `directory`, and compare it with the recorded one.

    Args:
        config: The experiment.
        directory: Where the new run goes.
        recorded: Directory of the recorded one.
        view: Who watches; a terminal's view by default.

    Returns:
        The exit status: 0 when the lineages are the same, 1 when they are not.

    Raises:
        StoreError: There is no such run, or it is another experiment's.
    """
    from evo.outputs import announce
    from evo.view import terminal_view

    with Store.open(recorded, fingerprint=config.fingerprint(), read_only=True) as old:
        past = Past.of(old)
        if not past.evaluations:
            raise StoreError(f"{recorded}: holds no judged kernel to replay")
        with created(config, directory) as store, ExitStack() as stack:
            watching = view or stack.enter_context(terminal_view())
            for key in ADOPTED:
                store.set_meta(key, old.meta(key))
            announce(config, store, directory, watching)
            difference = _grown(config, old, store, past, watching)
            _finish(old, store, directory, watching, difference)
    return 1 if difference else 0


def _grown(config: Config, old: Store, store: Store, past: Past, view: Observer) -> str:
    """Search over the recorded measurements; where the lineage differs, or ""."""
    from evo.experiment import build_search
    from evo.models import replaying_desk
    from evo.parts import SEED
    from fitness.replay import Recorded

    device: Device = old.meta("target")
    # How long the recorded run took, and when it was interrupted, is no part of its lineage.
    unbroken = _unbroken(past)
    limits = Budget(evaluations=len(unbroken))
    recorded = Recorded(old.find, past.remeasured.get)
    desk = replaying_desk(config, old, store)
    search = build_search(
        config, device, recorded, store, view, limits=limits, desk=desk, early=past.early
    )
    failure = ""
    try:
        search.run(
            [
                Kernel(candidate, past.evaluations[number])
                for number, candidate in past.candidates.items()
                if candidate.operator == SEED and number in unbroken
            ]
        )
    except WorkerError as error:
        failure = str(error)
    again = Past.of(store)
    for number in unbroken:
        recorded_one, now = (_described(run, number) for run in (past, again))
        if now != recorded_one or again.candidates.get(number) != past.candidates.get(number):
            return f"kernel #{number}: recorded {recorded_one}, now {now}"
    return failure


def _finish(old: Store, store: Store, directory: Path, view: Observer, difference: str) -> None:
    from evo.outputs import finish

    grown = len(store.kernels())
    if difference:
        store.set_meta("reason", f"the lineage differs from the recorded one at {difference}")
    else:
        store.set_meta("reason", f"replayed: the same lineage of {grown} kernels")
        if grown == len(old.candidates()):
            store.set_meta("final", old.meta("final"))
    finish(store, directory, view)


def _unbroken(past: Past) -> list[int]:
    """What was measured up to the first proposal that was still under way when the run ended."""
    measured = {*past.evaluations, *past.remeasured}
    over = measured | past.rejections.keys()
    return [number for number in takewhile(over.__contains__, count()) if number in measured]


def _described(run: Past, number: int) -> str:
    if number in run.remeasurements:
        return f"#{run.remeasurements[number]} measured again"
    candidate = run.candidates.get(number)
    if candidate is None:
        return "nothing"
    parents = " and ".join(f"#{parent}" for parent in candidate.parents)
    of = f" of {parents}" if parents else ""
    return f"{candidate.operator}{of} ({candidate.digest})"


if __name__ == "__main__":
    sys.exit(main())
