"""The operator that proposes the next point of a skeleton's launch parameters.

The lineage is the only memory: all judged kernels with one skeleton are one study, whoever made
them, and it is rebuilt for each proposal. So nothing has to be kept in step with the store, and a
resumed run continues as if it had never stopped.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from operators.operator import Inapplicable, Variation
from operators.tuning.bounds import bounds_of
from operators.tuning.elites import EVERY, SPREAD, exchanged, spread
from operators.tuning.expected import Outlook, outlook
from operators.tuning.inheritance import certain_speedup
from operators.tuning.neighbours import chosen
from operators.tuning.room import Room
from operators.tuning.space import Point, Space, space_of
from operators.tuning.survivors import Survivor, entitled, survivors
from operators.tuning.tpe import tpe
from populations.constraints import constraints
from populations.parameters import skeleton, values, with_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from operators.operator import Situation
    from populations.kernel import Kernel
    from populations.lineage import Lineage

Sampler = Literal["tpe", "expected", "elites", "neighbours"]
Share = Literal["parent", "promise", "halving"]
# Neighbours of so many of the best points are looked at in a space that is too large to be listed.
_AROUND = 10
# Samplers that begin with points spread over the choices.
_SPREADING = ("elites", "neighbours")
_KEPT = 256
_MARKED = "no launch parameter is marked"
_MEASURED = "every point of the launch parameters is measured"


@dataclass(frozen=True, slots=True)
class _Study:
    """One skeleton: who proposes a point of it begins with this.

    Attributes:
        kernel: The kernel whose point is changed.
        kernels: Every judged kernel of the skeleton.
        space: Its points.
        room: Those that may be proposed.
        under_way: Those that are being judged, as far as the sampler wants to know.
        over: The log speedup to improve on; None: that of its own best point.
    """

    kernel: Kernel
    kernels: Sequence[Kernel]
    space: Space
    room: Room
    under_way: Sequence[Point]
    over: float | None = None


class Tune:
    """Propose the next point in the launch parameters of one kernel's skeleton.

    Points that the source's own constraints refuse are never proposed (`populations.constraints`).

    May break: a choice may exceed what the device has (shared memory, registers) or what the kernel
    assumes (divisibility) where no constraint says so; the judge decides.
    """

    name = "tune"
    arity = 1

    def __init__(
        self,
        *,
        startup_trials: int = 4,
        sampler: Sampler = "tpe",
        learn: bool = False,
        share: Share = "parent",
        survivors: int = 9,
    ) -> None:
        """Choose how to look for points.

        Args:
            startup_trials: Kernels of a skeleton before which points are drawn evenly.
            sampler: "tpe", Optuna's estimator; "expected", the largest expected improvement
                under a Gaussian process; "elites", one of the best points with another choice of
                one parameter, in turn with either of them; "neighbours", the largest expected
                improvement in turn with the least known neighbour of the best. Where trials are
                shared, the largest expected improvement decides in any case.
            learn: Whether points that are likely to need more than the device has, as far as
                siblings show it, come last (`operators.tuning.bounds`).
            share: Whose point is changed: with "parent" the given one's; with "promise" that of
                the survivor whose next trial is expected to improve most on the best of all for
                the device's time; with "halving" only among those that successive halving lets
                go on (`operators.tuning.survivors`).
            survivors: How many skeletons share trials, unless it is "parent".
        """
        self._startup_trials = startup_trials
        self._sampler = sampler
        self._learn = learn
        self._share = share
        self._survivors = survivors
        # What is known of a skeleton follows from its study alone: asked anew when that changes.
        self._outlooks: dict[tuple[object, ...], Outlook | None] = {}

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Variation | Inapplicable:
        """Ask for one point that no judged kernel of a skeleton has."""
        shared = self._shared(situation) if self._share != "parent" else None
        study = shared or self._study(parents[0], situation)
        if not study.space.size:
            return Inapplicable(_MARKED)
        if study.room.exhausted:
            return Inapplicable(_MEASURED)
        point = self._ask(study, situation.rng)
        if point is None:
            return Inapplicable("no further point was found that the constraints allow")
        varied = _variation(study, point)
        if shared is None:
            return varied
        candidate = study.kernel.candidate
        return replace(varied, language=candidate.language, parents=(candidate.number,))

    def _study(self, kernel: Kernel, situation: Situation) -> _Study:
        mine = skeleton(kernel.source)
        kernels = situation.lineage.same_skeleton(mine) or [kernel]
        space = space_of([kernel, *kernels])
        under_way: list[Point] = []
        if self._looks_ahead:
            others = (c.source for c in situation.under_way if skeleton(c.source) == mine)
            under_way = [tuple(values(other).values()) for other in others]
        likely = None
        if self._learn:
            before = _before(kernels[0], situation.lineage)
            likely = bounds_of(space, kernels, before, situation.facts).likely
        room = Room(
            space,
            {*map(space.point, kernels), *under_way},
            constraints=constraints(kernel.source),
            facts=situation.facts,
            likely=likely,
        )
        return _Study(kernel, kernels, space, room, under_way)

    def _ask(self, study: _Study, rng: random.Random) -> Point | None:
        begun = len(study.kernels) + len(study.under_way)
        if study.over is not None or self._asks_model(begun):
            known = self._outlook(study)
            if known is not None:
                if self._sampler == "neighbours" and study.over is None:
                    return chosen(study.space, study.kernels, known, begun)
                return known.prospect(study.over).point
        if self._sampler in _SPREADING and (
            begun < SPREAD or not any(kernel.passed for kernel in study.kernels)
        ):
            known_points = [*map(study.space.point, study.kernels), *study.under_way]
            return spread(study.space, known_points, study.room, rng)
        if self._sampler == "elites" and begun % EVERY != EVERY // 2:
            return exchanged(study.space, study.kernels, study.room, rng)
        if self._sampler != "expected":
            answer, wanted = tpe(
                study.space,
                study.kernels,
                rng,
                wanted=study.room.__contains__,
                startup_trials=self._startup_trials,
            )
            return answer if wanted else study.room.nearest(answer, rng)
        return study.room.one(rng)

    def _asks_model(self, begun: int) -> bool:
        if self._sampler == "expected":
            return begun >= self._startup_trials
        if self._sampler == "neighbours":
            return begun >= SPREAD
        return self._sampler == "elites" and begun >= SPREAD and begun % EVERY == 0

    def _outlook(self, study: _Study) -> Outlook | None:
        logs = tuple(
            (k.number, s.log if (s := k.evaluation.speedup) else None) for k in study.kernels
        )
        key = (study.kernel.number, logs, tuple(study.under_way))
        if key not in self._outlooks:
            if len(self._outlooks) >= _KEPT:
                self._outlooks.clear()
            self._outlooks[key] = _outlook(
                study, random.Random(f"{logs[-1]}:{len(logs)}"), rough=self._sampler in _SPREADING
            )
        return self._outlooks[key]

    @property
    def _looks_ahead(self) -> bool:
        """Whether points under way count as taken: what it does by default must stay as it was."""
        return self._sampler != "tpe" or self._share != "parent"

    def _shared(self, situation: Situation) -> _Study | None:
        """The survivor that promises most; None where no survivor has a point left."""
        known: dict[Survivor, tuple[_Study, Outlook]] = {}
        for survivor in survivors(situation.lineage, self._survivors):
            study = self._study(survivor.best, situation)
            if study.space.size and (found := self._outlook(study)):
                known[survivor] = study, found
        if not known:
            return None
        over = max(found.best for _, found in known.values())
        among = entitled(tuple(known)) if self._share == "halving" else tuple(known)
        # Of equals the one whose best point is the best.
        first = max(among, key=lambda survivor: known[survivor][1].prospect(over).rate)
        return replace(known[first][0], over=over)


def _outlook(study: _Study, rng: random.Random, *, rough: bool) -> Outlook | None:
    passed = sorted((k for k in study.kernels if k.passed), key=certain_speedup, reverse=True)
    left = study.room.points(rng, [study.space.point(kernel) for kernel in passed[:_AROUND]])
    return outlook(study.space, study.kernels, left, study.under_way, rough=rough)


def _variation(study: _Study, point: Point) -> Variation:
    source = study.kernel.source
    old, new = values(source), study.space.named(point)
    changed = [f"{name} {old[name]} to {new[name]}" for name in new if old[name] != new[name]]
    return Variation(source=with_values(source, new), note=", ".join(changed))


def _before(first: Kernel, lineage: Lineage) -> list[Kernel]:
    """The judged kernels of the skeleton that a skeleton's first kernel was made from."""
    if not first.candidate.parents:
        return []
    parent = lineage.kernels.get(first.candidate.parents[0])
    return lineage.same_skeleton(skeleton(parent.source)) if parent else []
