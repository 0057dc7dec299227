"""The tables of an experiment file: every key, its default, its unit and its least value.

Each table is a frozen dataclass; `evo.config` reads them from TOML. 0 stands for "no limit" or
"as many as there are" only where it is said.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fitness.sandbox.layers import NAMES as LAYERS
from populations.policies.descriptors import NAMES as DESCRIPTORS


def at_least(least: float, default: float, **more: Any) -> Any:
    """A field of a table: a number with a default that must not be smaller than `least`.

    `more` goes into its metadata: `absent` (see `added`).
    """
    return field(default=default, metadata={"least": least, **more})


def added(default: Any, *, absent: Any = None, **more: Any) -> Any:
    """A field that earlier versions did not have.

    With the value `absent` (None: the default) a search is what it was without the key, and so the
    key is no part of its fingerprint: files from before keep theirs. `absent` stays as it is when
    the default is changed later. `more` goes into the field's metadata: `least`, `choices`.
    """
    absent = default if absent is None else absent
    return field(default=default, metadata={"absent": absent, **more})


@dataclass(frozen=True, slots=True)
class ProblemConfig:
    """[problem]: what is to be computed."""

    path: Path  # a KernelBench problem file


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """[target.cpu] and [target.cuda]: what is measured where."""

    workloads: tuple[str, ...] = ()  # names from the problem's WORKLOADS; empty: all of them
    # Workloads of the closing table; empty: those of the search.
    final_workloads: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()  # names of baselines; empty: all there are
    # What models may write in beside the languages of the seeds. Without seeds: these alone, or all
    # that the device has where none is named.
    languages: tuple[str, ...] = added(())


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """[target]: the device, and what to measure on each kind."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 0  # CPU threads for candidates and baselines alike; 0: all cores
    cpu: DeviceConfig = DeviceConfig()
    cuda: DeviceConfig = DeviceConfig()


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """[budget]: the search ends at whichever is reached first; 0 means no such limit."""

    evaluations: int = 0
    wall_s: float = 0.0  # of the search itself, final measurement not counted
    device_s: float = 0.0  # time the device was held for timing
    patience: int = 0  # evaluations without a new champion
    cost_usd: float = 0.0  # US dollars for models, by the prices in [[models]]
    tokens: int = 0  # of prompts and answers
    calls: int = 0  # questions to models


@dataclass(frozen=True, slots=True)
class IslandsConfig:
    """[search.islands]: with policy = "islands"."""

    count: int = added(4, least=1)  # `population` is shared out among them
    interval: int = added(25)  # kernels judged between migrations; 0: none
    migrants: int = added(1)  # best kernels that each island sends
    topology: Literal["ring", "random"] = added("ring")
    # Children of an island without a better one until a fresh island takes its place; 0: never.
    stagnation: int = added(40)
    # Who a fresh island begins with: the best of another one, or the seeds.
    founder: Literal["elite", "seed"] = added("elite")


@dataclass(frozen=True, slots=True)
class MapElitesConfig:
    """[search.map_elites]: with policy = "map_elites"."""

    # What makes kernels be of one kind; "bottleneck" and "memory" have every kernel diagnosed.
    descriptors: tuple[str, ...] = added(DESCRIPTORS, choices=DESCRIPTORS)


@dataclass(frozen=True, slots=True)
class MctsConfig:
    """[search.mcts]: with policy = "mcts"."""

    exploration: float = added(0.2)  # weight of what is little explored; 0: none
    greed: float = added(0.5)  # worth of a subtree: 0: its mean, 1 and more: its best


@dataclass(frozen=True, slots=True)
class BeamConfig:
    """[search.beam]: with policy = "beam"."""

    width: int = added(4, least=1)
    branching: int = added(6, least=1)  # children of each in a generation


@dataclass(frozen=True, slots=True)
class NoveltyConfig:
    """[search.novelty]: what is not evaluated again, beside a kernel of the same text."""

    # Kernels that differ in comments, layout and the names of variables alone are one.
    names: bool = added(False)
    # From this share of common character n-grams on, literals and launch parameters being the
    # same, a model's kernel is told back as known; 0: never.
    similarity: float = added(0.0, least=0.0)
    # A kernel that compiles to what was judged before is given that result, and is not timed.
    binary: bool = added(False)


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """[search]: the loop, and who lives."""

    seed: int = 0
    policy: Literal[
        "population", "islands", "map_elites", "mcts", "beam", "greedy", "nsga2", "random"
    ] = added("population")
    population: int = at_least(1, 24)  # kernels that live, as far as the policy has such a number
    # Of parents, where the policy is a population, islands or MAP-Elites.
    selection: Literal["tournament", "best", "random"] = "tournament"
    tournament: int = at_least(1, 3)  # size of a tournament
    # Proposals under way at once; 0: twice the workers and twice what models may be asked at once.
    in_flight: int = 0
    edits: float = at_least(1, 1.6)  # mean number of structural edits in one mutation
    # Kernels that operators make for one proposal, of which, at several points of their launch
    # parameters, the one that promises most is evaluated; 0: the first new one.
    screening: int = added(6, absent=0, least=0)
    # How often a kernel that may be the best is measured again before it counts; 0: never.
    remeasure: int = added(0, least=0)
    # Best kernels measured again at the end; the best of them is champion.
    finalists: int = at_least(1, 3)
    islands: IslandsConfig = IslandsConfig()
    map_elites: MapElitesConfig = MapElitesConfig()
    mcts: MctsConfig = MctsConfig()
    beam: BeamConfig = BeamConfig()
    novelty: NoveltyConfig = NoveltyConfig()


@dataclass(frozen=True, slots=True)
class OperatorsConfig:
    """[operators]: prior weights by operator name; 0 switches one off.

    `structural` scales all structural operators, whose own weights are part of them; `model` all
    those that ask a model.
    """

    structural: float = 1.0
    merge: float = 0.15
    tune: float = 0.35
    # What an evaluation is worth: operators that ask models are credited per cost.
    evaluation_usd: float = at_least(1e-6, 0.01)
    # Whom a kernel that a model made of none must beat for its operator to earn more than one that
    # passed; "nobody": it earns everything by passing.
    drafts: Literal["champion", "nobody"] = added("champion", absent="nobody")
    model: float = 2.0  # scales all operators that ask a model, where there are [[models]]
    weights: Mapping[str, float] = field(default_factory=lambda: types.MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class TuningConfig:
    """[tuning]: how launch parameters of survivors are searched."""

    # "tpe": Optuna's estimator; "expected": expected improvement under a Gaussian process;
    # "elites": one of the best points with another choice of one parameter, at times that model;
    # "neighbours": that model in turn with the neighbour of the best that it knows least about.
    sampler: Literal["tpe", "expected", "elites", "neighbours"] = added("tpe")
    # Points that need no less than one that lacked resources come last.
    learn: bool = added(default=False)
    # Whose parameters a trial is spent on: the chosen parent's; of the best skeletons the one that
    # promises most for the device's time; the same among those that successive halving lets go on.
    share: Literal["parent", "promise", "halving"] = added("parent")
    survivors: int = added(9, least=1)  # skeletons that share the trials, unless "parent"
    # A trial slower than this share of its skeleton's best point is not timed to the end; 0: all.
    early_stop: float = added(0.0)


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """[evaluation]: how a candidate is judged."""

    # A measured table (.npz) that answers in place of a device; it has a seed of its own.
    landscape: Path | None = field(default=None, metadata={"absent": None})
    workers: int = 0  # candidates judged at once; 0: 2 on the CPU, 8 on CUDA
    seeds: int = at_least(1, 2)  # input draws per workload in the correctness check
    pairs: int = at_least(10, 12)  # paired timing samples per workload; fewer give no interval
    timing_budget_s: float = at_least(0.01, 0.5)  # per workload
    build_limit_s: float = at_least(1, 60.0)
    run_limit_s: float = at_least(1, 20.0)
    memory_mb: int = at_least(64, 8192)  # beyond what torch itself maps
    processes: int = at_least(1, 256)  # processes and threads of one candidate
    # Two answers to the same inputs: both right, or equal bit by bit.
    determinism: Literal["tolerance", "bitwise"] = "tolerance"
    # What a finalist may do with shapes near the workloads: refuse them but not get them wrong
    # ("report"), only get them right ("require"), anything ("ignore").
    held_out: Literal["report", "require", "ignore"] = "report"
    allow_packed_weights: bool = False  # weights made into something else when constructed
    allow_degenerate: bool = False  # take on a problem that zeros or a constant would solve
    # What a kernel's source may do; what it does is shown in any case.
    allow_library_calls: bool = True  # products, convolutions, attention of torch, cuBLAS, BLAS
    allow_torch_compute: bool = True  # any operation of torch that computes on tensors
    allow_state: bool = True  # caches, written attributes, CUDA graphs, static variables of C++


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """[sandbox]: what must confine candidates, or nothing is run."""

    # Names of layers, as `evo doctor` prints them; empty: whatever the machine offers.
    require: tuple[str, ...] = field(default=(), metadata={"choices": LAYERS})


@dataclass(frozen=True, slots=True)
class KnowledgeConfig:
    """[knowledge]: what models are told beside the problem, and what a run leaves behind."""

    # Directories of further documents, with front matter as those in operators/knowledge.
    directories: tuple[Path, ...] = ()
    # Whether what earlier runs found out is told, and what this one finds out is added to it.
    library: bool = True
    # Champions of earlier runs of the same problem file to begin with, per language.
    first: int = 0


TABLES: dict[str, type[Any]] = {
    "problem": ProblemConfig,
    "target": TargetConfig,
    "budget": BudgetConfig,
    "search": SearchConfig,
    "operators": OperatorsConfig,
    "tuning": TuningConfig,
    "evaluation": EvaluationConfig,
    "sandbox": SandboxConfig,
    "knowledge": KnowledgeConfig,
}
