"""`python -m evo.run EXPERIMENT`: check, search, measure the finalists again, write the results.

Everything that can be wrong with the input is found before the run directory is made: the file,
the problem, the device, and whether every seed computes the reference.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evo.config import Config, load_config
from populations.errors import EvoError

if TYPE_CHECKING:
    from evo.device import Device
    from evo.events import Observer
    from evo.search import Search
    from fitness.landscape.pool import LandscapePool
    from fitness.pool import LocalPool
    from populations.kernel import Kernel
    from populations.store import Store


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for."""

    config: Config
    directory: Path
    resume: bool
    device: Device


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 0; 1 when one of our own processes failed, or a replay came out different;
        2 for bad input; 75 when nothing goes on before models have answered, and `--resume` takes
        it up then; 130 after Ctrl-C or SIGTERM.
    """
    from evo.signals import guarded

    options = _parser().parse_args(arguments)
    return guarded(lambda: _main(options))


def run(request: Request, pool: LocalPool | LandscapePool | None = None) -> int:
    """Carry out one request; returns the exit status.

    Args:
        request: The request.
        pool: Who judges, where that was begun already; the caller ends it.

    Raises:
        EvoError: Bad input, or our own machinery failed. What was judged is in the store.
    """
    from evo.confinement import require_layers
    from evo.directory import created, opened
    from evo.experiment import seed_languages
    from evo.landscape import judge_of
    from evo.library import copy_for
    from evo.view import terminal_view

    config, directory, device = request.config, request.directory, request.device
    with ExitStack() as stack:
        # Held before anything is measured: another process may be writing the run.
        store = stack.enter_context(opened(config, directory, device)) if request.resume else None
        pool = pool or stack.enter_context(judge_of(config, device))
        require_layers(config, pool.layers)
        view = stack.enter_context(terminal_view())
        if store is not None and (baselines := store.meta("baselines")):
            pool.adopt_baselines(baselines)
            pool.adopt_judged(store.kernels())
        seeds: tuple[Kernel, ...] = ()
        # A run that was killed while it was made may lack some.
        if store is None or len(store.evaluations()) < len(seed_languages(config, device)):
            seeds = _judged_seeds(request, pool, view)
        if store is None:
            store = stack.enter_context(created(config, directory))
            copy_for(config, directory)
        _describe(request, pool, store)
        return _searched(request, pool, store, seeds, view)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evo run", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("experiment", type=Path, help="a TOML file, as experiments/conv1d.toml")
    parser.add_argument("--dir", type=Path, help="run directory (default: runs/NAME)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--resume", action="store_true", help="go on with the run in the directory")
    how.add_argument(
        "--replay",
        type=Path,
        metavar="RUN",
        help="grow the lineage of the run directory RUN again, from its recorded measurements",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="override the file"
    )
    return parser


def _main(options: argparse.Namespace) -> int:
    from evo.directory import check
    from evo.experiment import check_experiment
    from evo.landscape import device_of

    config = load_config(options.experiment, options.set)
    if options.replay:
        from evo.replay import replay

        directory = options.dir or Path("runs") / f"{config.name}-replay"
        check(config, directory, resume=False)
        return replay(config, directory, options.replay)
    directory = options.dir or Path("runs") / config.name
    with ExitStack() as stack:
        pool = _begun_ahead(config, directory, stack) if options.resume else None
        check(config, directory, resume=options.resume)
        device = device_of(config)
        check_experiment(config, device)
        return run(Request(config, directory, options.resume, device), pool)


def _begun_ahead(
    config: Config, directory: Path, stack: ExitStack
) -> LocalPool | LandscapePool | None:
    """The pool of a run that goes on, begun before anything else is looked at.

    Its server imports torch, which takes longer than all that is read and checked meanwhile.
    """
    from evo.landscape import device_of, judge_of

    if directory.is_dir():
        # What is wrong is told by the checks, in their order.
        with suppress(EvoError):
            return stack.enter_context(judge_of(config, device_of(config)))
    return None


def _judged_seeds(
    request: Request, pool: LocalPool | LandscapePool, observer: Observer
) -> tuple[Kernel, ...]:
    """Judge the seeds: the run directory is made only when all of them pass."""
    from evo.events import Message
    from evo.experiment import begins_without, seed_candidates
    from populations.kernel import Kernel

    seeds = tuple(seed_candidates(request.config, request.device))
    pool.examine_problem()
    pool.measure_baselines(lambda step: observer.notify(Message(f"baseline {step}")))
    told = ", ".join(seed.note for seed in seeds) or begins_without(request.config, request.device)
    observer.notify(Message(f"seed {told}"))
    kernels = tuple(map(Kernel, seeds, pool.check(seeds)))
    return kernels + _earlier_champions(request, pool, kernels)


def _earlier_champions(
    request: Request, pool: LocalPool | LandscapePool, seeds: Sequence[Kernel]
) -> tuple[Kernel, ...]:
    """Champions of the user's library that pass here; numbered behind the seeds."""
    from evo.experiment import languages
    from evo.facts import machine_facts
    from evo.library import first_champions
    from populations.kernel import Candidate, Kernel

    config = request.config
    # No table holds a kernel of another run, but for its own.
    if not config.knowledge.first or config.evaluation.landscape:
        return ()
    name = machine_facts(request.device, threads=pool.spec.threads)["device"]
    written_in = list(dict.fromkeys(kernel.candidate.language for kernel in seeds))
    written_in = written_in or list(languages(config, request.device))
    found: list[Kernel] = []
    for champion in first_champions(config, name, written_in):
        note = f"champion {champion.digest} of {champion.setting.run}"
        number = len(seeds) + len(found)
        candidate = Candidate(number, champion.source, champion.language, note=note)
        evaluation = pool.evaluate_once(candidate)
        if evaluation.passed:
            found.append(Kernel(candidate, evaluation))
    return tuple(found)


def _describe(request: Request, pool: LocalPool | LandscapePool, store: Store) -> None:
    """Store what the report needs, as far as it is not there: a kill may have come in between."""
    from evo.landscape import facts_of

    if store.meta("baselines") is None:
        store.set_meta("baselines", pool.measure_baselines().times_ms)
    if store.meta("target") is None:
        store.set_meta("target", request.device)
    if store.meta("facts") is None:
        store.set_meta("facts", facts_of(pool, request.device))
        store.set_meta("device_lines", list(pool.device_lines))
        store.set_meta("device_facts", pool.device_facts)


def _searched(
    request: Request,
    pool: LocalPool | LandscapePool,
    store: Store,
    seeds: Sequence[Kernel],
    view: Observer,
) -> int:
    """Search, measure the finalists, write the files; an interruption keeps everything."""
    from evo.experiment import build_search
    from evo.finalists import measure_finalists
    from evo.models import open_desk
    from evo.outputs import ChampionFile, announce, finish
    from evo.signals import INTERRUPTED, WAITING, interrupting

    config, device = request.config, request.device
    announce(config, store, request.directory, view)
    desk = open_desk(config, store, request.directory)
    champion = ChampionFile(store, request.directory, view)
    search = build_search(config, device, pool, store, champion, desk=desk)
    # What an earlier session found at its end is no longer the last word.
    store.set_meta("final", None)
    store.set_meta("reason", None)
    reason, failure = "interrupted; --resume goes on", None
    try:
        with interrupting(search):
            ended = search.run(seeds)
        if search.waiting:
            reason = f"{ended}; --resume goes on when they have come"
        elif not search.interrupted:
            measure_finalists(config, device, pool, search, view)
            reason = ended
            _keep_what_worked(config, store, search, view)
    except KeyboardInterrupt:
        search.interrupt()
    except EvoError as error:
        store.add_event("failure", {"error": str(error)})
        reason, failure = f"a failure of our own: {error}", error
    finally:
        if desk is not None:
            desk.close()
    store.set_meta("reason", reason)
    finish(store, request.directory, view)
    if failure is not None:
        raise failure
    if search.interrupted:
        return INTERRUPTED
    return WAITING if search.waiting else 0


def _keep_what_worked(config: Config, store: Store, search: Search, view: Observer) -> None:
    """Add to the user's library; a library that cannot be written costs a line, not the run."""
    from evo.events import Message
    from evo.library import keep_what_worked

    try:
        keep_what_worked(config, store, search.lineage, search.champion)
    except EvoError as error:
        view.notify(Message(str(error)))


if __name__ == "__main__":
    sys.exit(main())
