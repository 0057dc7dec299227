"""Islands: populations that grow apart, with now and then a migrant between them.

The coarse-grained model of Tanese (1989) and Cohoon et al. (1987): crossover only within an island,
and the best of one are copied to another at intervals. An island on which nothing better has come
for long ends, and a fresh one begins in its place, as in FunSearch (Romera-Paredes et al. 2024);
the strongest never ends.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from populations.archive import Insertion, Population
from populations.kernel import Kernel
from populations.policies.policy import ISLAND, MIGRATION, SETTLED, Change
from populations.selection import Selection

Topology = Literal["ring", "random"]
Founder = Literal["elite", "seed"]


@dataclass(slots=True)
class _Island:
    """One population.

    Attributes:
        name: Its number; a fresh island has one that no island had before.
        population: Who lives here.
        proposals: Made of its members so far, and seeds.
        best: Fitness of the best that ever came here.
        idle: Children in a row that were no better.
        fresh: Began in another's place and has had no `stagnation` children yet.
    """

    name: int
    population: Population
    proposals: int = 0
    best: tuple[float, float] = (-1.0, 0.0)
    idle: int = 0
    fresh: int = 0


class Islands:
    """Several populations in a ring.

    A child settles where all its parents live; of several such islands, where fewest proposals have
    been made. Seeds settle everywhere. The child of an island that has ended meanwhile is offered
    to the strongest one, as a migrant.

    Args:
        count: Number of islands.
        capacity: Members of one island at most.
        selection: Who becomes a parent within an island; the island is drawn at random.
        seed: Root of what is drawn for migration and founders.
        interval: Kernels inserted between migrations; 0: no migration.
        migrants: Copied from each island at once.
        topology: "ring": to the next island; "random": to any other, drawn each time.
        stagnation: Children of an island without a better one after which it ends; 0: never. A
            fresh island receives no migrants until it has had that many.
        founder: Who a fresh island begins with: the best member of another island drawn at random
            ("elite"), or the run's seeds ("seed").
    """

    def __init__(
        self,
        *,
        count: int,
        capacity: int,
        selection: Selection,
        seed: int = 0,
        interval: int = 25,
        migrants: int = 1,
        topology: Topology = "ring",
        stagnation: int = 0,
        founder: Founder = "elite",
    ) -> None:
        if count < 1 or interval < 0 or stagnation < 0 or migrants < 0:
            raise ValueError(
                f"need at least 1 island and nothing negative, but got "
                f"{count=} {interval=} {stagnation=} {migrants=}"
            )
        self._islands = [_Island(name, Population(capacity=capacity)) for name in range(count)]
        self._capacity = capacity
        self._selection = selection
        self._seed = seed
        self._interval = interval
        self._migrants = migrants
        self._topology = topology
        self._stagnation = stagnation
        self._founder = founder
        self._seeds: list[Kernel] = []
        self._proposed: dict[int, tuple[tuple[int, ...], int]] = {}
        self._homes: dict[int, int] = {}
        self._inserted = 0
        self._begun = count

    @property
    def members(self) -> tuple[Kernel, ...]:
        """All islands' members, each once, best first."""
        everyone = {k.number: k for island in self._islands for k in island.population.members}
        return tuple(sorted(everyone.values(), key=lambda k: (k.fitness, -k.number), reverse=True))

    @property
    def islands(self) -> dict[int, tuple[Kernel, ...]]:
        """Each island's members, best first, by its name, in the order of the ring."""
        return {island.name: island.population.members for island in self._islands}

    def parents(self, count: int, rng: random.Random) -> list[Kernel]:
        """Draw an island, of those with enough members, and select within it."""
        most = max(min(count, len(island.population)) for island in self._islands)
        enough = [i for i in self._islands if min(count, len(i.population)) == most]
        island = rng.choice(enough)
        return self._selection.select(island.population.members, count, rng)

    def proposed(self, number: int, parents: Sequence[int]) -> None:
        """Settle the child before it is there."""
        wanted = set(parents)
        homes = [island for island in self._islands if wanted <= _numbers(island)]
        island = min(homes or self._islands, key=lambda i: (i.proposals, i.name))
        island.proposals += 1
        self._proposed[number] = tuple(parents), island.name

    def dropped(self, number: int) -> None:
        """Nothing came of a proposal."""
        del self._proposed[number]

    def insert(self, kernel: Kernel) -> Sequence[Change]:
        """Offer a child to its island; then migrate, and begin anew, where it is time."""
        if kernel.number not in self._proposed:
            return [self._settle_everywhere(kernel)]
        home, stranded = self._home_of(kernel)
        self._homes[kernel.number] = home.name
        if kernel.passed and not any(k.passed for k in self._seeds):
            # The first that is right at all is what everything begins with.
            return [self._settle_everywhere(kernel)]
        changes = [_settled(kernel, [home])]
        if stranded is not None:
            changes.append(_migration(kernel.number, stranded, home, [kernel]))
        _offer(home, kernel)
        home.idle = 0 if kernel.fitness > home.best else home.idle + 1
        home.best = max(home.best, kernel.fitness)
        home.fresh = max(0, home.fresh - 1)
        self._inserted += 1
        if self._interval and self._inserted % self._interval == 0:
            changes += self._migrate(kernel.number)
        if self._stagnation and home.idle >= self._stagnation:
            changes += self._begin_anew(home, kernel.number)
        return changes

    def remeasured(self, kernel: Kernel) -> None:
        """Put the new estimate in the old one's place on every island."""
        self._seeds = [kernel if k.number == kernel.number else k for k in self._seeds]
        for island in self._islands:
            if kernel.number in _numbers(island):
                island.population.remeasured(kernel)
                # Or an island would wait in vain for a child as good as its lucky one.
                island.best = max(member.fitness for member in island.population.members)

    def _settle_everywhere(self, kernel: Kernel) -> Change:
        self._seeds.append(kernel)
        for island in self._islands:
            _offer(island, kernel)
            island.best = max(island.best, kernel.fitness)
        self._homes.setdefault(kernel.number, self._islands[0].name)
        return _settled(kernel, self._islands)

    def _home_of(self, kernel: Kernel) -> tuple[_Island, int | None]:
        """Where a child belongs, and the ended island that it comes from, if it does."""
        parents, name = self._proposed.pop(kernel.number)
        own = kernel.candidate.parents
        if own != parents and own:
            # An operator has found its parents itself.
            name = self._homes[own[0]]
        for island in self._islands:
            if island.name == name:
                return island, None
        return self._strongest(), name

    def _strongest(self) -> _Island:
        def rank(island: _Island) -> tuple[tuple[float, float], int]:
            members = island.population.members
            return (members[0].fitness if members else (-1.0, 0.0)), -island.name

        return max(self._islands, key=rank)

    def _migrate(self, number: int) -> list[Change]:
        """Copy the best of each island to another, all at once."""
        rng = random.Random(f"{self._seed}:{MIGRATION}:{self._inserted}")
        moves: list[tuple[_Island, _Island, list[Kernel]]] = []
        for place, island in enumerate(self._islands):
            ring = self._islands[place + 1 :] + self._islands[:place]
            if not ring:
                break
            target = ring[0] if self._topology == "ring" else rng.choice(ring)
            known = _numbers(target)
            new = [k for k in island.population.members if k.number not in known]
            if not target.fresh:
                moves.append((island, target, new[: self._migrants]))
        changes = []
        for island, target, emigrants in moves:
            arrived = [kernel for kernel in emigrants if _offer(target, kernel)]
            target.best = max([target.best, *(kernel.fitness for kernel in arrived)])
            if arrived:
                changes.append(_migration(number, island.name, target, arrived))
        return changes

    def _begin_anew(self, ended: _Island, number: int) -> list[Change]:
        """Let a fresh island take the place of one that stagnates, unless it is the strongest."""
        ended.idle = 0
        if ended is self._strongest():
            return []
        rng = random.Random(f"{self._seed}:{ISLAND}:{self._begun}")
        others = [i for i in self._islands if i is not ended and len(i.population)]
        founders = self._seeds
        if self._founder == "elite" and others:
            founders = [rng.choice(others).population.members[0]]
        # As many proposals as the least busy one has: a fresh island is not owed any.
        least = min(island.proposals for island in self._islands)
        fresh = _Island(self._begun, Population(capacity=self._capacity), least)
        fresh.fresh = self._stagnation
        self._islands[self._islands.index(ended)] = fresh
        self._begun += 1
        for kernel in founders:
            _offer(fresh, kernel)
            fresh.best = max(fresh.best, kernel.fitness)
        data = {
            "number": number,
            "island": fresh.name,
            "in_place_of": ended.name,
            "founders": [kernel.number for kernel in fresh.population.members],
        }
        return [Change(ISLAND, data)]


def _numbers(island: _Island) -> set[int]:
    return {kernel.number for kernel in island.population.members}


def _offer(island: _Island, kernel: Kernel) -> bool:
    return island.population.insert(kernel) is not Insertion.REFUSED


def _settled(kernel: Kernel, islands: Sequence[_Island]) -> Change:
    names = [island.name for island in islands]
    return Change(SETTLED, {"number": kernel.number, "islands": names})


def _migration(number: int, source: int, target: _Island, kernels: Sequence[Kernel]) -> Change:
    data = {
        "number": number,
        "from": source,
        "to": target.name,
        "kernels": [kernel.number for kernel in kernels],
    }
    return Change(MIGRATION, data)
