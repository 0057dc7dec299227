"""Which points of a skeleton may still be proposed."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from populations.constraints import Constraint, feasible

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from operators.tuning.space import Point, Space
    from populations.parameters import Value

# Spaces up to this size are listed to find what is left; in larger ones a random draw is new.
LISTED = 4096
# Draws after which a larger space is taken to have no point left that may be proposed.
_DRAWS = 4096
# Points of a larger space that are offered for comparison.
_OFFERED = 1024


class Room:
    """The points that nobody has measured and no constraint refuses.

    Points that are unlikely to fit come last: they are offered when nothing else is left.
    """

    def __init__(
        self,
        space: Space,
        known: Collection[Point],
        *,
        constraints: Sequence[Constraint] = (),
        facts: Mapping[str, Value] | None = None,
        likely: Callable[[Point], bool] | None = None,
    ) -> None:
        """Find what is left, where the space is small enough to be listed.

        Args:
            space: The points.
            known: Those that are measured, or being measured.
            constraints: What the source says of its points.
            facts: What is known of the device.
            likely: Whether a point may fit, for all that is known; None: any may.
        """
        self._space = space
        self._known = frozenset(known)
        self._constraints = tuple(constraints)
        self._facts = dict(facts or {})
        self._likely = likely
        self._left: tuple[Point, ...] = ()
        if space.size <= LISTED:
            self._left = tuple(point for point in self._feasible() if point not in self._known)
            self._left = tuple(filter(likely, self._left)) or self._left
        self._among = frozenset(self._left)

    def _feasible(self) -> tuple[Point, ...]:
        if not self._constraints:
            return tuple(self._space.points())
        facts = tuple(self._facts.items())
        return _feasible(tuple(self._space.choices.items()), self._constraints, facts)

    @property
    def listed(self) -> bool:
        """Whether the points were listed; of a larger space some are drawn."""
        return self._space.size <= LISTED

    @property
    def exhausted(self) -> bool:
        """Whether surely nothing is left; of a space that is not listed nobody knows."""
        return self.listed and not self._left

    def __contains__(self, point: Point) -> bool:
        """Whether a point may be proposed."""
        if self.listed:
            return point in self._among
        return self._allowed(point) and (self._likely is None or self._likely(point))

    def points(self, rng: random.Random, around: Sequence[Point] = ()) -> tuple[Point, ...]:
        """Points to choose from; none when nothing is left.

        All there are, or for a space that is too large to be listed a thousand: the neighbours of
        those in `around`, and random ones.
        """
        if self.listed:
            return self._left
        near = (other for point in around for other in self._space.neighbours(point))
        found = dict.fromkeys(point for point in near if point in self)
        for point in self._drawn(rng):
            if len(found) >= _OFFERED:
                break
            found[point] = None
        if found:
            return tuple(found)
        one = self.one(rng)
        return () if one is None else (one,)

    def one(self, rng: random.Random) -> Point | None:
        """A point drawn from those that may be proposed; None when nothing is left."""
        if self.listed:
            return rng.choice(self._left) if self._left else None
        drawn = next(self._drawn(rng), None)
        if drawn is None:
            drawn = next((p for p in self._drawings(rng) if self._allowed(p)), None)
        return drawn

    def nearest(self, point: Point, rng: random.Random) -> Point | None:
        """The point that is fewest steps away, where they are listed; else one drawn."""
        if not self.listed:
            return self.one(rng)
        return min(self._left, key=lambda p: self._space.distance(p, point), default=None)

    def _allowed(self, point: Point) -> bool:
        return point not in self._known and feasible(
            self._space.named(point), self._constraints, self._facts
        )

    def _drawn(self, rng: random.Random) -> Iterator[Point]:
        return (point for point in self._drawings(rng) if point in self)

    def _drawings(self, rng: random.Random) -> Iterator[Point]:
        return (self._space.drawn(rng) for _ in range(_DRAWS))


@lru_cache(maxsize=64)
def _feasible(
    choices: tuple[tuple[str, tuple[Value, ...]], ...],
    constraints: tuple[Constraint, ...],
    facts: tuple[tuple[str, Value], ...],
) -> tuple[Point, ...]:
    """The points that no constraint refuses: asked anew for every proposal of a skeleton."""
    from operators.tuning.space import Space

    space, known = Space(dict(choices)), dict(facts)
    return tuple(p for p in space.points() if feasible(space.named(p), constraints, known))
