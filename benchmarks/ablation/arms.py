"""What is compared: settings of a search, and two ends that are no search at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evo.policies import POLICIES

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / "experiments/landscapes"
EXPERIMENT = ROOT / "experiments/landscape_conv1d.toml"
# Points of the table with replacement, and all of them in random order.
SAMPLING, EXHAUSTIVE = "sampling", "exhaustive"
ENDS = (SAMPLING, EXHAUSTIVE)
# Policies are compared by whom they breed from: what a model makes of it is an arm of its own.
UNSCREENED = "search.screening=0"
# Every proposal knows all results before it, as random points need not and OpenEvolve does.
DEFAULT, SERIAL = "screened", "screened_serial"


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to search.

    Attributes:
        name: Unique.
        settings: As `--set` has them, beside the experiment's own; empty for an end.
        title: For people.
    """

    name: str
    settings: tuple[str, ...]
    title: str


_TITLES = {
    "population": "population (steady state, tournament)",
    "islands": "islands",
    "map_elites": "MAP-Elites",
    "mcts": "tree search",
    "beam": "beam",
    "greedy": "greedy",
    "nsga2": "NSGA-II",
    "random": "random parents (control)",
    SAMPLING: "random points (no search)",
    EXHAUSTIVE: "every point in random order (no search)",
}
ARMS: Mapping[str, Arm] = {
    DEFAULT: Arm(DEFAULT, (), "population, screened (the default)"),
    SERIAL: Arm(SERIAL, ("search.in_flight=1",), "the default, one at a time"),
    "screened_remeasure": Arm(
        "screened_remeasure", ("search.remeasure=1",), "the default, measured again once"
    ),
    **{n: Arm(n, (f"search.policy={n}", UNSCREENED), _TITLES.get(n, n)) for n in POLICIES},
    "remeasure": Arm(
        "remeasure",
        ("search.remeasure=2", UNSCREENED),
        "population, likely champions measured again",
    ),
    **{name: Arm(name, (UNSCREENED,), _TITLES[name]) for name in ENDS},
}


def tables() -> dict[str, Path]:
    """The shipped landscapes by name."""
    return {path.stem: path for path in sorted(TABLES.glob("*.npz"))}
