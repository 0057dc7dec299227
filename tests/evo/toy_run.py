"""Stands for `evo.run` where a sweep is tested: the same arguments, over the toy's landscape.

`operators.tune` is the weight of its tuning, `evaluation.timing_budget_s` what an evaluation takes.
Every start and every end is noted in `starts.log` and `ends.log`, in the directory of the sweep.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from evo.config import load_config
from evo.directory import created, opened
from evo.signals import INTERRUPTED, guarded, interrupting
from operators.credit import Credit
from tests.evo import toy

WEIGHTS = {"front": 1.0, "back": 1.0, "merge": 0.3}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args(arguments)
    config = load_config(options.experiment, options.set)
    name, notes = f"{options.dir.parent.name} {options.dir.name}", options.dir.parents[2]
    with (notes / "starts.log").open("a") as log:
        log.write(f"{name} {options.resume}\n")
    if config.operators.tune > 100:
        print("the tuning is out of order")
        return 1
    place = opened(config, options.dir, "cpu") if options.resume else created(config, options.dir)
    with place as store:
        evaluator = toy.Delayed(
            workers=2, delay_s=config.evaluation.timing_budget_s, seed=config.search.seed
        )
        search = toy.search(
            store,
            evaluator,
            seed=config.search.seed,
            evaluations=config.budget.evaluations,
            parts={"credit": Credit(priors={**WEIGHTS, "tune": config.operators.tune})},
        )
        with interrupting(search):
            search.run(toy.seeds())
        evaluator.close()
        if search.interrupted:
            return INTERRUPTED
        speedup = search.champion.evaluation.speedup
        ends = [speedup.value, speedup.low, speedup.high]
        store.set_meta("final", {"champion": search.champion.number, "speedup": ends, "rows": []})
        store.set_meta("reason", "done")
    with (notes / "ends.log").open("a") as log:
        log.write(f"{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
