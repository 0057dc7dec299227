"""A worker of a sweep: takes trials, one after the other, until none is left."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from evo.sweeps.runs import Failed, Interrupted, Result, Runs
from evo.sweeps.settings import Sweep
from evo.sweeps.space import written
from evo.sweeps.study import Trials
from evo.tables import format_count, format_duration, format_ratio
from populations.errors import EvoError

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from optuna.trial import Trial

Say = Callable[[str], None]
# Seconds between two looks whether a trial of another worker is free again.
_LOOK_S = 0.5


def work(trials: Trials, runs: Runs, say: Say) -> None:
    """Take trials until every one has ended, also those of workers that die meanwhile.

    Raises:
        Interrupted: A run was ended from outside; its trial waits for whoever resumes the sweep.
        EvoError: The storage or a directory cannot be used.
    """
    while not all(trial.state.is_finished() for trial in trials.all()):
        trial = trials.claim()
        if trial is None:
            time.sleep(_LOOK_S)
            continue
        try:
            _carry_out(trials, trial, runs, say)
        except BaseException:
            trials.give_back(trial)
            raise


def work_together(runs: Runs, *, workers: int, storage: str = "") -> None:
    """Let several workers take the sweep's trials, each in a process of its own.

    Ctrl-C and SIGTERM are passed on to all. One that is killed leaves its trial to the others; they
    may all be gone when this returns, and trials left.
    """
    context = multiprocessing.get_context("spawn")
    arguments = (runs, storage, os.getpid())
    processes = [context.Process(target=_main, args=arguments) for _ in range(workers)]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join()
    finally:
        _end(processes)


def _carry_out(trials: Trials, trial: Trial, runs: Runs, say: Say) -> None:
    """Run a trial's point with every seed, until it is hopeless."""
    sweep = runs.sweep
    point = trials.point(trial)
    name = f"trial {trial.number}"
    say(f"{name}: {written(point)}")
    results: list[Result] = []
    pruned = False
    for seed in sweep.seeds:
        try:
            result = runs.run(point, seed, alive=lambda: trials.alive(trial))
        except (Failed, EvoError) as error:
            say(f"{name}, seed {seed}: failed: {error}")
            facts = {**_facts(results, sweep), "error": f"seed {seed}: {error}"}
            trials.tell(trial, "fail", facts)
            return
        results.append(result)
        say(f"{name}, seed {seed}: {_told(result, sweep)}")
        pruned = trials.report(trial, seed, result.value(sweep)) and seed != sweep.seeds[-1]
        if pruned:
            break
    value = statistics.median(result.value(sweep) for result in results)
    facts = _facts(results, sweep)
    if pruned:
        trials.tell(trial, "pruned", facts)
    else:
        trials.tell(trial, "complete", facts, value=value)
    word = f"given up after {format_count(len(results), 'run')}" if pruned else "median"
    say(f"{name}: {word}, {shown(value, sweep)}; {_standing(trials)}")


def shown(value: float, sweep: Sweep) -> str:
    """A value of the sweep's metric, for people."""
    if sweep.maximize:
        return format_ratio(math.exp(value))
    return f"{value:.6g} evaluations"


def _told(result: Result, sweep: Sweep) -> str:
    text = f"{format_ratio(math.exp(result.log_speedup))} after {result.evaluations} evaluations"
    if not sweep.maximize:
        when = "never" if result.reached is None else f"after {result.reached}"
        text += f", {sweep.table.target:g}x {when}"
    return f"{text}, {format_duration(result.wall_s)}"


def _standing(trials: Trials) -> str:
    everything = trials.all()
    ended = sum(trial.state.is_finished() for trial in everything)
    return f"{ended} of {format_count(len(everything), 'trial')} ended"


def _facts(results: Sequence[Result], sweep: Sweep) -> dict[str, object]:
    """What a trial keeps of its runs, by seed: JSON has texts for keys."""
    return {
        "values": {str(result.seed): result.value(sweep) for result in results},
        "log_speedups": {str(result.seed): result.log_speedup for result in results},
        "evaluations": {str(result.seed): result.evaluations for result in results},
        "reached": {str(result.seed): result.reached for result in results},
        "wall_s": round(sum(result.wall_s for result in results), 3),
        "device_s": round(sum(result.device_s for result in results), 3),
    }


def _main(runs: Runs, storage: str, parent: int) -> None:
    """A worker's process."""
    from evo.signals import INTERRUPTED, guarded
    from fitness.sandbox import linux

    # When the sweep is killed its workers end too, each in good order.
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGTERM)
    # Ctrl-C comes to the sweep, which passes it on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getppid() != parent:
        sys.exit(INTERRUPTED)

    def command() -> int:
        try:
            with Trials(runs.sweep, runs.directory, storage=storage) as trials:
                work(trials, runs, say)
        except Interrupted as error:
            print(f"evo: {error}", file=sys.stderr)
            return INTERRUPTED
        return 0

    sys.exit(guarded(command))


def say(line: str) -> None:
    """A line of progress."""
    print(line, flush=True)


def _end(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        if process.is_alive():
            process.terminate()
    for process in processes:
        process.join()
