"""Launch parameters by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011).

The lineage is the only memory: all judged kernels with one skeleton are one study, whoever made
them, and it is rebuilt for each proposal. So nothing has to be kept in step with the store, and a
resumed run continues as if it had never stopped.
"""

from __future__ import annotations

import warnings
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from operators.operator import Inapplicable, Variation
from populations.parameters import Value, adopt, parameters, skeleton, values, with_values
from populations.rows import Trial

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence

    import optuna

    from operators.operator import Situation
    from populations.kernel import Kernel
    from populations.lineage import Lineage

Space = dict[str, tuple[Value, ...]]
Point = tuple[Value, ...]

# How often the sampler may answer with a point that is known already.
_ASKS = 8
# Spaces up to this size are listed to find what is left; in larger ones a random draw is new.
_LISTED = 4096


class Tune:
    """Propose the next point in the launch parameters of one kernel's skeleton.

    Kernels of the skeleton that failed count as worse than any that ran, so the sampler learns
    to stay away from tiles that do not fit.

    May break: a choice may exceed what the device has (shared memory, registers) or what the kernel
    assumes (divisibility); the judge decides.
    """

    name = "tune"
    arity = 1

    def __init__(self, *, startup_trials: int = 4) -> None:
        self._startup_trials = startup_trials

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Variation | Inapplicable:
        """Ask for one point that no judged kernel of the parent's skeleton has."""
        source = parents[0].source
        study = situation.lineage.same_skeleton(skeleton(source)) or [parents[0]]
        space = _space([parents[0], *study])
        if not space:
            return Inapplicable("no launch parameter is marked")
        known = {_point(kernel) for kernel in study}
        if all(point in known for point in _listed(space)):
            return Inapplicable("every point of the launch parameters is measured")
        point = self._ask(space, study, known, situation.rng)
        old, new = values(source), dict(zip(space, point, strict=True))
        changed = [f"{name} {old[name]} to {new[name]}" for name in new if old[name] != new[name]]
        return Variation(source=with_values(source, new), note=", ".join(changed))

    def _ask(
        self, space: Space, study: Iterable[Kernel], known: set[Point], rng: random.Random
    ) -> Point:
        model = _rebuilt(space, study, seed=rng.getrandbits(31), startup=self._startup_trials)
        distributions = _distributions(space)
        for _ in range(_ASKS):
            # A point asked for and not told counts as poor (constant liar), so asking again moves.
            ranks = model.ask(distributions).params
            point = tuple(choices[ranks[name]] for name, choices in space.items())
            if point not in known:
                return point
        if prod(map(len, space.values())) <= _LISTED:
            left = (p for p in _listed(space) if p not in known)
            return min(left, key=lambda p: _distance(space, p, point))
        while point in known:
            point = tuple(rng.choice(choices) for choices in space.values())
        return point


def inherit(source: str, parent: Kernel, lineage: Lineage) -> str:
    """Give a child the best launch parameters known for its parent's skeleton.

    Called once on a new variation's source before it is judged, so that the child's first trial is
    its parent's best point. A value that the operator itself changed stays, and so does one whose
    name or choices the child does not have.
    """
    siblings = lineage.same_skeleton(skeleton(parent.source))
    best = max(siblings, key=_certain_speedup, default=parent)
    before, now = values(parent.source), values(source)
    untouched = {
        name: value
        for name, value in values(best.source).items()
        if name in now and now[name] == before.get(name)
    }
    return adopt(source, untouched)


def trial_of(kernel: Kernel) -> Trial:
    """The record of a judged kernel as a trial of its skeleton, for `Store.add_trial`."""
    speedup = kernel.evaluation.speedup
    return Trial(
        number=kernel.number,
        skeleton=skeleton(kernel.source),
        params=values(kernel.source),
        value=speedup.log if speedup else None,
        state="complete" if speedup else "fail",
    )


def _space(kernels: Iterable[Kernel]) -> Space:
    """Every parameter's choices over the kernels of one skeleton; numbers ascending."""
    space: dict[str, dict[Value, None]] = {}
    for kernel in kernels:
        for parameter in parameters(kernel.source):
            space.setdefault(parameter.name, {}).update(dict.fromkeys(parameter.choices))
    return {
        name: tuple(sorted(choices)) if _ordered(choices) else tuple(choices)
        for name, choices in space.items()
    }


def _ordered(choices: Iterable[Value]) -> bool:
    return all(type(choice) in (int, float) for choice in choices)


def _point(kernel: Kernel) -> Point:
    return tuple(values(kernel.source).values())


def _listed(space: Space) -> Iterable[Point]:
    return product(*space.values())


def _distance(space: Space, a: Point, b: Point) -> int:
    """Steps between two points along the choices; a category is one step from any other."""
    return sum(
        abs(choices.index(x) - choices.index(y)) if _ordered(choices) else int(x != y)
        for choices, x, y in zip(space.values(), a, b, strict=True)
    )


def _certain_speedup(kernel: Kernel) -> tuple[float, float, int]:
    speedup = kernel.evaluation.speedup
    return (speedup.low, speedup.value, -kernel.number) if speedup else (0.0, 0.0, -kernel.number)


def _distributions(space: Space) -> dict[str, Any]:
    """Ranks of choices: as integers where choices are ordered, so that neighbours are near."""
    from optuna.distributions import (
        CategoricalDistribution,
        IntDistribution,
    )

    return {
        name: IntDistribution(0, len(choices) - 1)
        if _ordered(choices)
        else CategoricalDistribution(range(len(choices)))
        for name, choices in space.items()
    }


def _rebuilt(space: Space, kernels: Iterable[Kernel], *, seed: int, startup: int) -> optuna.Study:
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
        present = values(kernel.source)
        study.add_trial(
            optuna.trial.create_trial(
                # The sampler ignores failed trials but ranks pruned ones behind all complete ones.
                state=optuna.trial.TrialState.COMPLETE
                if speedup
                else optuna.trial.TrialState.PRUNED,
                params={name: space[name].index(present[name]) for name in space},
                distributions=distributions,
                value=speedup.log if speedup else None,
            )
        )
    return study
