"""From `[search]` to the policy of a search: who lives, and who becomes a parent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from evo.config import Config
from evo.settings import SearchConfig

if TYPE_CHECKING:
    from populations.policies.policy import Policy
    from populations.selection import Selection


def policy(config: Config) -> Policy:
    """A new policy as an experiment names it, with nothing inserted yet."""
    return POLICIES[config.search.policy](config.search)


def selection(search: SearchConfig) -> Selection:
    """How parents are chosen from a population, an island or the elites."""
    from populations.selection import Best, RandomSelection, Tournament

    choices: dict[str, Selection] = {
        "tournament": Tournament(size=search.tournament),
        "best": Best(),
        "random": RandomSelection(),
    }
    return choices[search.selection]


def wants_diagnostics(config: Config) -> bool:
    """Whether the policy asks for what evaluations find out only where they are told to."""
    search = config.search
    return search.policy == "map_elites" and bool(
        {"bottleneck", "memory"} & {*search.map_elites.descriptors}
    )


def _population(search: SearchConfig) -> Policy:
    from populations.archive import Population
    from populations.policies.steady import SteadyState

    population = Population(capacity=search.population)
    return SteadyState(population=population, selection=selection(search))


def _islands(search: SearchConfig) -> Policy:
    from populations.policies.islands import Islands

    keys = search.islands
    return Islands(
        count=keys.count,
        capacity=max(1, search.population // keys.count),
        selection=selection(search),
        seed=search.seed,
        interval=keys.interval,
        migrants=keys.migrants,
        topology=keys.topology,
        stagnation=keys.stagnation,
        founder=keys.founder,
    )


def _map_elites(search: SearchConfig) -> Policy:
    from populations.policies.descriptors import DESCRIPTORS
    from populations.policies.map_elites import MapElites

    descriptors = [DESCRIPTORS[name] for name in search.map_elites.descriptors]
    return MapElites(descriptors=descriptors, selection=selection(search))


def _mcts(search: SearchConfig) -> Policy:
    from populations.policies.mcts import TreeSearch

    keys = search.mcts
    return TreeSearch(
        exploration=keys.exploration, greed=min(1.0, keys.greed), shown=search.population
    )


def _beam(search: SearchConfig) -> Policy:
    from populations.policies.beam import Beam

    return Beam(width=search.beam.width, branching=search.beam.branching)


def _greedy(search: SearchConfig) -> Policy:
    from populations.policies.greedy import Greedy

    return Greedy(capacity=search.population)


def _nsga2(search: SearchConfig) -> Policy:
    from populations.policies.nsga2 import Nsga2

    return Nsga2(capacity=search.population)


def _random(search: SearchConfig) -> Policy:
    from populations.policies.control import Control

    return Control(shown=search.population)


# By the value of `[search] policy`.
POLICIES: Mapping[str, Callable[[SearchConfig], Policy]] = {
    "population": _population,
    "islands": _islands,
    "map_elites": _map_elites,
    "mcts": _mcts,
    "beam": _beam,
    "greedy": _greedy,
    "nsga2": _nsga2,
    "random": _random,
}
