"""`evo check EXPERIMENT`: is everything there, before anything is spent?

Verifies the file, the device and its compiler, the problem, and that every seed computes the
reference; prints what a run would do and what it may cost.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `evo check`; returns its exit status."""
    parser = argparse.ArgumentParser(prog="evo check", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("experiment", type=Path, help="a TOML file, as experiments/conv1d.toml")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
    options = parser.parse_args(arguments)
    from evo.signals import guarded

    return guarded(lambda: check(options.experiment, options.set))


def check(experiment: Path, overrides: Sequence[str]) -> int:
    """Print one line per thing verified; raises EvoError at the first that is not right."""
    from evo.config import load_config
    from evo.confinement import require_layers
    from evo.experiment import (
        begins_without,
        budget,
        check_languages,
        check_names,
        seed_candidates,
        weighted_operators,
    )
    from evo.landscape import device_of, facts_of, judge_of, landscape_of
    from evo.models import check_models, model_lines
    from evo.tables import format_count, format_ms, format_speedup
    from evo.view import budget_line
    from fitness.problem import describe

    config = load_config(experiment, overrides)
    print(f"experiment  {config.path}")
    device = device_of(config)
    with judge_of(config, device) as pool:
        facts = facts_of(pool, device)
        threads = f", {format_count(int(facts['threads']), 'thread')}" if device == "cpu" else ""
        print(f"device      {device}: {facts['device']}{threads}")
        if landscape := landscape_of(config):
            variants = len(landscape.variants)
            print(f"landscape   {landscape.name}: {len(landscape)} points of {variants} variants")
        else:
            problem = describe(config.problem.path)
            check_names(config, device, problem)
            print(
                f"problem     {problem.name}: {len(problem.workloads)} workloads, "
                f"{problem.parameters} parameters"
            )
        operators, _ = weighted_operators(config, device)
        print(f"operators   {len(operators)}: {', '.join(operators)}")
        check_models(config)
        check_languages(config, device)
        for line in model_lines(config):
            print(f"model       {line}")
        print(f"budget      {budget_line(budget(config))}")
        require_layers(config, pool.layers)
        print(f"confinement {facts.get('confinement', 'none: nothing is run')}")
        found = pool.examine_problem()
        for text in (*found.refused, *found.notes):
            print(f"note        {text}")
        table = pool.measure_baselines()
        for workload, times in table.times_ms.items():
            listed = ", ".join(f"{name} {format_ms(ms)} ms" for name, ms in times.items())
            print(f"baselines   {workload}: {listed}")
        seeds = tuple(seed_candidates(config, device))
        if not seeds:
            print(f"seed        {begins_without(config, device)}")
        for seed, evaluation in zip(seeds, pool.check(seeds), strict=True):
            print(f"seed        {seed.note}: {format_speedup(evaluation.speedup)}")
    print("ready")
    return 0


if __name__ == "__main__":
    sys.exit(main())
