"""`python -m evo.sweep SWEEP`: try points of the search's own settings, several runs each.

The same command again joins a sweep that is going on, and goes on with one that was killed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evo.sweeps import RUN
from populations.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from evo.sweeps.runs import Runs
    from evo.sweeps.study import Trials


def main(arguments: Sequence[str] | None = None, *, program: Sequence[str] = RUN) -> int:
    """Run the command.

    Args:
        arguments: Of the command line.
        program: What Python is given before the arguments of a run.

    Returns:
        The exit status: 0; 1 when no trial came to its end; 2 for bad input; 130 after a signal.
    """
    from evo.signals import guarded

    options = _parser().parse_args(arguments)
    return guarded(lambda: sweep(options, program))


def sweep(options: argparse.Namespace, program: Sequence[str] = RUN) -> int:
    """Carry out what the command line asks for; returns the exit status.

    Raises:
        EvoError: Bad input, or the storage cannot be used.
    """
    from evo.sweeps.runs import Runs
    from evo.sweeps.settings import load_sweep
    from evo.sweeps.study import Trials, hidden

    asked = load_sweep(options.sweep)
    directory = options.dir or Path("runs") / f"sweep-{asked.name}"
    workers = asked.table.workers if options.workers is None else options.workers
    if workers < 1:
        raise ConfigError(f"--workers must be at least 1, but got {workers}")
    if options.report and not directory.is_dir():
        raise StoreError(f"{directory}: there is no sweep")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{directory}: cannot be made: {error.strerror}") from error
    with Trials(asked, directory, storage=options.storage) as trials:
        if not options.report:
            count = len(asked.seeds)
            print(f"{asked.name}: {asked.trials} points, {count} runs each, in {directory}")
            print(f"optuna-dashboard {hidden(trials.url)}", flush=True)
            runs = Runs(asked, directory, program)
            if status := _work(trials, runs, workers, options.storage):
                return status
        return _report(trials, directory)


def _parser() -> argparse.ArgumentParser:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(prog="evo sweep", description=first, epilog=rest)
    parser.add_argument(
        "sweep", type=Path, help="a sweep file, as experiments/sweeps/policies.toml"
    )
    parser.add_argument("--dir", type=Path, help="the sweep's directory (default: runs/sweep-NAME)")
    parser.add_argument("--workers", type=int, metavar="N", help="points tried at once")
    parser.add_argument(
        "--storage",
        default="",
        metavar="URL",
        help="where the study is kept: sqlite:///FILE, postgresql+psycopg://.., journal://FILE",
    )
    parser.add_argument("--report", action="store_true", help="only say what has been found so far")
    return parser


def _work(trials: Trials, runs: Runs, workers: int, storage: str) -> int:
    """Run what is left; returns the exit status of what kept it from its end, else 0."""
    from evo.signals import INTERRUPTED
    from evo.sweeps.runs import Interrupted
    from evo.sweeps.worker import say, work, work_together

    try:
        if workers == 1:
            work(trials, runs, say)
        else:
            work_together(runs, workers=workers, storage=storage)
    except Interrupted as error:
        print(f"evo: {error}", file=sys.stderr)
        return INTERRUPTED
    left = sum(not trial.state.is_finished() for trial in trials.all())
    if left:
        print(f"evo: {left} trials are left; the same command goes on", file=sys.stderr)
    return 1 if left else 0


def _report(trials: Trials, directory: Path) -> int:
    from evo.sweeps.report import FILE, page
    from evo.sweeps.study import reported

    with reported(trials.url):
        text = page(trials)
        complete = any(trial.state.name == "COMPLETE" for trial in trials.all())
    file = directory / FILE
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{file}: cannot be written: {error.strerror}") from error
    print(f"\n{text}\nreport     {file}")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
