"""Optuna's tree-structured Parzen estimator (Bergstra et al. 2011) over the points of a space."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from operators.tuning.space import Point, Space

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    import optuna

    from populations.kernel import Kernel

# How often the sampler may answer with a point that nobody wants.
_ASKS = 8


def tpe(
    space: Space,
    study: Sequence[Kernel],
    rng: random.Random,
    *,
    wanted: Callable[[Point], bool],
    startup_trials: int,
) -> tuple[Point, bool]:
    """Ask the sampler for a point.

    The study is rebuilt from the judged kernels of one skeleton. Those that failed count as worse
    than any that ran, so the sampler learns to stay away from tiles that do not fit.

    Args:
        space: The points.
        study: Every judged kernel of the skeleton.
        rng: Seeds the sampler.
        wanted: Whether a point may be proposed.
        startup_trials: Kernels before which points are drawn evenly.

    Returns:
        The point, and whether it is wanted; the sampler's last answer when none was.
    """
    model = _rebuilt(space, study, seed=rng.getrandbits(31), startup=startup_trials)
    distributions = _distributions(space)
    point: Point = ()
    for _ in range(_ASKS):
        # A point asked for and not told counts as poor (constant liar), so asking again moves.
        ranks = model.ask(distributions).params
        point = tuple(choices[ranks[name]] for name, choices in space.choices.items())
        if wanted(point):
            return point, True
    return point, False


def _distributions(space: Space) -> dict[str, Any]:
    """Ranks of choices: as integers where choices are ordered, so that neighbours are near."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    return {
        name: IntDistribution(0, len(choices) - 1)
        if ordered
        else CategoricalDistribution(range(len(choices)))
        for (name, choices), ordered in zip(space.choices.items(), space.ordered, strict=True)
    }


def _rebuilt(space: Space, kernels: Sequence[Kernel], *, seed: int, startup: int) -> optuna.Study:
    """The study of one skeleton, in memory, with every judged kernel as a finished trial."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=seed, multivariate=True, constant_liar=True, n_startup_trials=startup
        )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    distributions = _distributions(space)
    for kernel in kernels:
        speedup = kernel.evaluation.speedup
        ranks = space.ranks(space.point(kernel))
        study.add_trial(
            optuna.trial.create_trial(
                # The sampler ignores failed trials but ranks pruned ones behind all complete ones.
                state=optuna.trial.TrialState.COMPLETE
                if speedup
                else optuna.trial.TrialState.PRUNED,
                params=dict(zip(space.names, ranks, strict=True)),
                distributions=distributions,
                value=speedup.log if speedup else None,
            )
        )
    return study
