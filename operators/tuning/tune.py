"""The operator that proposes the next point of a skeleton's launch parameters.

The lineage is the only memory: all judged kernels with one skeleton are one study, whoever made
them, and it is rebuilt for each proposal. So nothing has to be kept in step with the store, and a
resumed run continues as if it had never stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from operators.operator import Inapplicable, Variation
from operators.tuning.bounds import bounds_of
from operators.tuning.expected import prospect
from operators.tuning.inheritance import certain_speedup
from operators.tuning.room import Room
from operators.tuning.space import Point, Space, space_of
from operators.tuning.tpe import tpe
from populations.constraints import constraints
from populations.parameters import skeleton, values, with_values

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from operators.operator import Situation
    from populations.kernel import Kernel
    from populations.lineage import Lineage

Sampler = Literal["tpe", "expected"]
# Neighbours of so many of the best points are looked at in a space that is too large to be listed.
_AROUND = 10


class Tune:
    """Propose the next point in the launch parameters of one kernel's skeleton.

    Points that the source's own constraints refuse are never proposed (`populations.constraints`).

    May break: a choice may exceed what the device has (shared memory, registers) or what the kernel
    assumes (divisibility) where no constraint says so; the judge decides.
    """

    name = "tune"
    arity = 1

    def __init__(
        self, *, startup_trials: int = 4, sampler: Sampler = "tpe", learn: bool = False
    ) -> None:
        """Choose how to look for points.

        Args:
            startup_trials: Kernels of a skeleton before which points are drawn evenly.
            sampler: "tpe", Optuna's estimator, or "expected", the largest expected improvement
                under a Gaussian process.
            learn: Whether points that are likely to need more than the device has, as far as
                siblings show it, come last (`operators.tuning.bounds`).
        """
        self._startup_trials = startup_trials
        self._sampler = sampler
        self._learn = learn

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Variation | Inapplicable:
        """Ask for one point that no judged kernel of the parent's skeleton has."""
        source = parents[0].source
        study = situation.lineage.same_skeleton(skeleton(source)) or [parents[0]]
        space = space_of([parents[0], *study])
        if not space.size:
            return Inapplicable("no launch parameter is marked")
        room, under_way = self._room(space, study, situation)
        if room.listed and not room.points(situation.rng):
            return Inapplicable("every point of the launch parameters is measured")
        point = self._ask(space, study, room, under_way, situation.rng)
        if point is None:
            return Inapplicable("no further point was found that the constraints allow")
        old, new = values(source), space.named(point)
        changed = [f"{name} {old[name]} to {new[name]}" for name in new if old[name] != new[name]]
        return Variation(source=with_values(source, new), note=", ".join(changed))

    def _room(
        self, space: Space, study: Sequence[Kernel], situation: Situation
    ) -> tuple[Room, list[Point]]:
        """What may be proposed, and the points of this skeleton that are being judged."""
        source, under_way = study[0].source, []
        if self._sampler == "expected":
            mine = skeleton(source)
            others = (c.source for c in situation.under_way if skeleton(c.source) == mine)
            under_way = [tuple(values(other).values()) for other in others]
        room = Room(
            space,
            {*map(space.point, study), *under_way},
            constraints=constraints(source),
            facts=situation.facts,
            likely=self._bounds(space, study, situation),
        )
        return room, under_way

    def _bounds(
        self, space: Space, study: Sequence[Kernel], situation: Situation
    ) -> Callable[[Point], bool] | None:
        if not self._learn:
            return None
        before = _before(study[0], situation.lineage)
        return bounds_of(space, study, before, situation.facts).likely

    def _ask(
        self,
        space: Space,
        study: Sequence[Kernel],
        room: Room,
        under_way: Sequence[Point],
        rng: random.Random,
    ) -> Point | None:
        if self._sampler == "tpe":
            answer, wanted = tpe(
                space,
                study,
                rng,
                wanted=room.__contains__,
                startup_trials=self._startup_trials,
            )
            return answer if wanted else next(iter(room.nearest(answer, rng)), None)
        begun = len(study) + len(under_way)
        best = sorted((k for k in study if k.passed), key=certain_speedup, reverse=True)[:_AROUND]
        left = room.points(rng, [space.point(kernel) for kernel in best])
        if begun >= self._startup_trials and left:
            found = prospect(space, study, left, under_way)
            if found:
                return found.point
        return next(iter(room.one(rng)), None)


def _before(first: Kernel, lineage: Lineage) -> list[Kernel]:
    """The judged kernels of the skeleton that a skeleton's first kernel was made from."""
    if not first.candidate.parents:
        return []
    parent = lineage.kernels.get(first.candidate.parents[0])
    return lineage.same_skeleton(skeleton(parent.source)) if parent else []
