"""Which kernels become parents.

`Tournament`, `Best` and `RandomSelection` are DEAP's selTournament, selBest and selRandom behind
one interface, driven by the caller's generator instead of Python's global one.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from populations.fitness import Individual, individuals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from populations.kernel import Kernel


class Selection(Protocol):
    """Chooses parents from a population.

    Called once per proposal, in proposal order. The population is a non-empty sequence and is left
    as it is. Parents are distinct as long as the population has `count` members, so that a
    crossover is not offered one kernel twice; after that, repeats begin. `rng` is the only source
    of randomness: the same population and generator state give the same parents.
    """

    def select(self, population: Sequence[Kernel], count: int, rng: random.Random) -> list[Kernel]:
        """Choose `count` parents, in the order drawn. Raises ValueError on an empty population."""


class Tournament:
    """The best of `size` members drawn at random, with replacement (Goldberg and Deb 1991).

    `size` sets the pressure: 1 is random choice; in a population of 30, size 3 makes the best
    member a parent about one time in ten and the worst one almost never.
    """

    def __init__(self, *, size: int = 3) -> None:
        if size < 1:
            raise ValueError(f"a tournament needs at least 1 participant, but got {size=}")
        self._size = size

    def select(self, population: Sequence[Kernel], count: int, rng: random.Random) -> list[Kernel]:
        """Choose `count` winners, each leaving the pool until it is empty."""
        from deap.tools import selTournament

        def draw(pool: list[Individual]) -> Individual:
            with _as_global_random(rng):
                winner: Individual = selTournament(pool, 1, self._size)[0]
            return winner

        return _distinct(population, count, draw)


class Best:
    """The best members in order, no chance involved: a greedy search."""

    def select(
        self,
        population: Sequence[Kernel],
        count: int,
        rng: random.Random,  # noqa: ARG002 - part of the interface
    ) -> list[Kernel]:
        """Choose the `count` best; of equals, the one that stands first in the population."""
        from deap.tools import selBest

        def draw(pool: list[Individual]) -> Individual:
            best: Individual = selBest(pool, 1)[0]
            return best

        return _distinct(population, count, draw)


class RandomSelection:
    """Every member with the same chance: no pressure at all, the baseline for comparisons."""

    def select(self, population: Sequence[Kernel], count: int, rng: random.Random) -> list[Kernel]:
        """Choose `count` members, each leaving the pool until it is empty."""
        from deap.tools import selRandom

        def draw(pool: list[Individual]) -> Individual:
            with _as_global_random(rng):
                drawn: Individual = selRandom(pool, 1)[0]
            return drawn

        return _distinct(population, count, draw)


def sample(population: Sequence[Kernel], count: int, rng: random.Random) -> list[Kernel]:
    """Draw `count` members with equal chances, distinct as far as there are enough of them.

    What `RandomSelection` does, for populations of many thousands. Raises ValueError on an empty
    population unless `count` is 0.
    """
    if count > 0 and not population:
        raise ValueError("cannot select parents from an empty population")
    chosen: list[Kernel] = []
    while len(chosen) < count:
        chosen += rng.sample(population, min(count - len(chosen), len(population)))
    return chosen


def _distinct(
    population: Sequence[Kernel], count: int, draw: Callable[[list[Individual]], Individual]
) -> list[Kernel]:
    """Draw `count` times; a drawn member leaves the pool until the pool is empty."""
    if not population:
        raise ValueError("cannot select parents from an empty population")
    everyone = individuals(population)
    pool: list[Individual] = []
    chosen: list[Kernel] = []
    for _ in range(count):
        pool = pool or list(everyone)
        drawn = draw(pool)
        pool.remove(drawn)
        chosen.append(drawn.kernel)
    return chosen


@contextmanager
def _as_global_random(rng: random.Random) -> Iterator[None]:
    """Let DEAP, which draws from Python's global generator, draw from `rng` instead.

    The global generator's own state is put back afterwards. Another thread that drew from the
    global generator in between would draw from `rng`; nothing in a search does.
    """
    outer = random.getstate()
    random.setstate(rng.getstate())
    try:
        yield
    finally:
        rng.setstate(random.getstate())
        random.setstate(outer)
