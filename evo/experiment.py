"""From an experiment file to the parts of a search."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evo.budget import Budget
from evo.config import INDUCTOR, LANGUAGES, Config
from evo.device import Device, threads
from evo.landscape import landscape_of, operators_of, seed_of
from evo.policies import policy, wants_diagnostics
from evo.settings import DeviceConfig
from evo.strict import nearest
from populations.errors import ConfigError, SeedError
from populations.kernel import Candidate

if TYPE_CHECKING:
    from evo.events import Observer
    from evo.search import Search
    from fitness.evaluator import Evaluator
    from fitness.problem import ProblemFacts
    from fitness.spec import EvaluationSpec
    from operators.llm.desk import Desk
    from operators.novelty import Novelty
    from operators.operator import Operator
    from populations.store import Store


# Operators for every language.
COMMON = ("merge", "tune")


def cache_dir() -> Path:
    """Where compiled code is kept between runs: `$EVO_CACHE_DIR`, else XDG's folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("EVO_CACHE_DIR") or Path(base) / "evo")


def chosen_target(config: Config, device: Device) -> DeviceConfig:
    """What is measured on this device."""
    return config.target.cpu if device == "cpu" else config.target.cuda


def evaluation_spec(config: Config, device: Device) -> EvaluationSpec:
    """How to judge, on this device. Raises ConfigError for a list that names something twice."""
    from fitness.spec import EvaluationSpec

    target, evaluation = chosen_target(config, device), config.evaluation
    for key in ("workloads", "final_workloads", "baselines"):
        names = getattr(target, key)
        if len(set(names)) < len(names):
            raise ConfigError(f"{config.path}: [target.{device}] {key} names one twice: {names}")
    return EvaluationSpec(
        problem=config.problem.path,
        cache_dir=cache_dir(),
        device=device,
        threads=threads(config.target.threads),
        workloads=target.workloads,
        baselines=target.baselines,
        seeds=evaluation.seeds,
        pairs=evaluation.pairs,
        timing_budget_s=evaluation.timing_budget_s,
        build_limit_s=evaluation.build_limit_s,
        run_limit_s=evaluation.run_limit_s,
        memory_bytes=evaluation.memory_mb << 20,
        processes=evaluation.processes,
        workers=workers(config, device),
        # Models read it; edits of syntax trees do not.
        diagnose=bool(config.models) or wants_diagnostics(config),
        determinism=evaluation.determinism,
        held_out=evaluation.held_out,
        allow_packed_weights=evaluation.allow_packed_weights,
        allow_degenerate=evaluation.allow_degenerate,
        allow_library_calls=evaluation.allow_library_calls,
        allow_torch_compute=evaluation.allow_torch_compute,
        allow_state=evaluation.allow_state,
        reuse_binaries=config.search.novelty.binary,
    )


def check_experiment(config: Config, device: Device) -> None:
    """Find, before anything is started, what the file alone does not show to be wrong.

    Raises:
        SeedError: No seed is in a language of this device, and no model is there to begin.
        ConfigError: A name stands for nothing, or a model's key is missing.
        DeviceError: This machine cannot build kernels in a language of the experiment.
        ProblemError: The problem file is at fault; it is looked at only where names need it.
    """
    from evo.models import check_models

    seed_languages(config, device)
    evaluation_spec(config, device)
    weighted_operators(config, device)
    novelty(config)
    check_languages(config, device)
    check_models(config)
    # All other names are met first thing; these only at the end of the search.
    if chosen_target(config, device).final_workloads:
        from fitness.problem import describe

        check_names(config, device, describe(config.problem.path))


def check_names(config: Config, device: Device, facts: ProblemFacts) -> None:
    """Raise ConfigError for a workload or a baseline that the problem does not have."""
    workloads = [workload.name for workload in facts.workloads]
    target = chosen_target(config, device)
    for key, known in (
        ("workloads", workloads),
        ("final_workloads", workloads),
        ("baselines", list(facts.baselines)),
    ):
        for name in getattr(target, key):
            if name not in known:
                raise ConfigError(
                    f'{config.path}: [target.{device}] {key}: the problem has no "{name}"'
                    f"{nearest(name, known)}"
                )


def workers(config: Config, device: Device) -> int:
    """Candidates judged at once. Not a matter of the machine's cores: the lineage depends on it."""
    # On CUDA most of a candidate's time goes into starting its process and compiling it.
    return config.evaluation.workers or (2 if device == "cpu" else 8)


def budget(config: Config) -> Budget:
    """The experiment's limits; 0 in the file is "no such limit"."""
    limits = config.budget
    return Budget(
        evaluations=limits.evaluations or None,
        wall_s=limits.wall_s or None,
        device_s=limits.device_s or None,
        patience=limits.patience or None,
        cost_usd=limits.cost_usd or None,
        tokens=limits.tokens or None,
        calls=limits.calls or None,
    )


def seed_languages(config: Config, device: Device) -> list[str]:
    """Languages of the experiment's seeds for this device, in the order of their numbers.

    Empty where there are no seeds at all, and models make the first kernels.

    Raises:
        SeedError: There is none, and no model is there to begin.
    """
    if table := landscape_of(config):
        return [table.language]
    languages = [name for name in LANGUAGES[device] if name in config.seeds]
    if not languages and (config.seeds or not config.models):
        raise SeedError(
            f"{config.path}: [seeds] has no kernel for {device}; add one of "
            f'{", ".join(LANGUAGES[device])} (a file, or "inductor")'
        )
    return languages


def languages(config: Config, device: Device) -> tuple[str, ...]:
    """What kernels are written in here, the experiment's first choice first.

    A function of the experiment alone: what this machine can build is looked at elsewhere.

    Raises:
        ConfigError: `[target]` names a language that the device does not have.
    """
    named = chosen_target(config, device).languages
    for name in named:
        if name not in LANGUAGES[device]:
            raise ConfigError(
                f'{config.path}: [target.{device}] languages: there is no "{name}" for {device}'
                f"{nearest(name, LANGUAGES[device])}"
            )
    wanted = {*named, *config.seeds}
    return tuple(name for name in LANGUAGES[device] if name in wanted or not wanted)


def check_languages(config: Config, device: Device) -> None:
    """Raise DeviceError where this machine cannot build what models are asked to write."""
    from fitness.toolchains.registry import toolchain_for

    if config.models:
        for language in languages(config, device):
            toolchain_for(language)


def begins_without(config: Config, device: Device) -> str:
    """How a run without seeds begins, in one line."""
    return f"none: models draft the first kernels, in {' or '.join(languages(config, device))}"


def beginners(config: Config, operators: Collection[str]) -> frozenset[str]:
    """The operators that make the first kernels where there are no seeds.

    Raises:
        ConfigError: There is nobody to begin.
    """
    if config.seeds or not config.models:
        return frozenset()
    found = frozenset(n for n in operators if n.partition("@")[0] in ("draft", "repair"))
    if not any(name.partition("@")[0] == "draft" for name in found):
        raise ConfigError(f"{config.path}: without [seeds] the operator draft must not be off")
    return found


def seed_candidates(config: Config, device: Device) -> list[Candidate]:
    """The experiment's first kernels for this device, numbered from 0.

    Raises:
        SeedError: No seed is in a language of this device, or a file cannot be read.
        ProblemError: A seed is to come from TorchInductor and cannot.
    """
    if table := landscape_of(config):
        return [seed_of(table)]
    seeds = []
    for number, language in enumerate(seed_languages(config, device)):
        seed = config.seeds[language]
        # Relative to the experiment: the lineage must not depend on where that lies.
        note = "TorchInductor" if seed == INDUCTOR else os.path.relpath(seed, config.path.parent)
        source = _inductor(config, device) if seed == INDUCTOR else _text(seed)
        seeds.append(Candidate(number=number, source=source, language=language, note=note))
    return seeds


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SeedError(f"{file}: cannot be read as text: {error}") from error


def _inductor(config: Config, device: Device) -> str:
    from fitness.inductor import inductor_seed

    return inductor_seed(evaluation_spec(config, device))


def build_search(
    config: Config,
    device: Device,
    evaluator: Evaluator,
    store: Store,
    observer: Observer,
    *,
    limits: Budget | None = None,
    desk: Desk | None = None,
    early: Mapping[int, int] | None = None,
) -> Search:
    """The search that an experiment describes.

    Args:
        config: The experiment.
        device: What it runs on.
        evaluator: Who judges.
        store: Where everything is kept.
        observer: Who watches.
        limits: Takes the place of the experiment's budget.
        desk: Who asks the experiment's models.
        early: `Parts.early`, for a run that is grown again.
    """
    from evo.models import brief
    from evo.parts import Parts
    from evo.search import Search
    from operators.credit import Credit

    operators, priors = weighted_operators(config, device)
    parts = Parts(
        store=store,
        evaluator=evaluator,
        operators=operators,
        structural=structural_names(operators),
        credit=Credit(priors=priors),
        policy=policy(config),
        observer=observer,
        desk=desk,
        brief=brief(config, device, store),
        early=early or {},
        evaluation_usd=config.operators.evaluation_usd,
        novelty=novelty(config),
        first=beginners(config, operators),
        rivals=config.operators.drafts == "champion",
        facts=store.meta("device_facts") or {},
        early_stop=config.tuning.early_stop,
    )
    return Search(
        parts,
        budget=limits or budget(config),
        seed=config.search.seed,
        in_flight=config.search.in_flight or in_flight(config, device),
        device=device,
        edits=config.search.edits,
        remeasure=config.search.remeasure,
        screening=config.search.screening,
    )


def novelty(config: Config) -> Novelty:
    """What counts as known in an experiment; raises ConfigError where that makes no sense."""
    from operators.novelty import Novelty

    keys = config.search.novelty
    if keys.similarity > 1:
        raise ConfigError(f"{config.path}: [search.novelty] similarity is a share, at most 1")
    return Novelty(names=keys.names, similarity=keys.similarity)


def in_flight(config: Config, device: Device) -> int:
    """Proposals under way at once: what keeps every worker and every model busy.

    Results are inserted in the order of proposals: while one answer is late, as many again are
    asked for behind it.
    """
    return 2 * (workers(config, device) + sum(model.parallel for model in config.models))


def structural_names(operators: Mapping[str, Operator]) -> frozenset[str]:
    """Those whose edits may be added up: neither crossover nor tuning nor a model's."""
    from evo.models import Named

    return frozenset(
        name for name, o in operators.items() if name not in COMMON and not isinstance(o, Named)
    )


def weighted_operators(
    config: Config, device: Device
) -> tuple[dict[str, Operator], dict[str, float]]:
    """The operators in use and their prior weights, by name.

    Raises:
        ConfigError: `[operators.weights]` names an operator that does not exist.
    """
    from evo.models import model_operators

    models, model_priors = model_operators(config)
    structural, common = _structural_and_common(config, device)
    operators: dict[str, Operator] = {**structural, **common, **models}
    weights = {name: getattr(operator, "weight", 1.0) for name, operator in structural.items()}
    scale = config.operators.structural / sum(weights.values()) if weights else 0.0
    priors = {name: scale * weight for name, weight in weights.items()}
    priors |= {"merge": config.operators.merge, "tune": config.operators.tune, **model_priors}
    _check_names(config, config.operators.weights, operators)
    priors |= {k: v for k, v in config.operators.weights.items() if k in operators}
    active = {name: operator for name, operator in operators.items() if priors[name] > 0}
    if not active:
        raise ConfigError(f"{config.path}: [operators] switches every operator off")
    beginners(config, active)
    return active, {name: priors[name] for name in active}


def _structural_and_common(
    config: Config, device: Device
) -> tuple[dict[str, Operator], dict[str, Operator]]:
    table = landscape_of(config)
    if table is None:
        from operators.registry import common_operators, structural_operators

        return structural_operators(languages(config, device)), common_operators(**_tuning(config))
    operators = operators_of(table, _tuning(config))
    common = {name: operators.pop(name) for name in COMMON}
    return operators, common


def _tuning(config: Config) -> dict[str, Any]:
    """What `operators.tuning.Tune` is told. Raises ConfigError for a share that is none."""
    tuning = config.tuning
    if tuning.early_stop >= 1:
        raise ConfigError(
            f"{config.path}: [tuning] early_stop is a share of a speedup, below 1, "
            f"but got {tuning.early_stop}"
        )
    return {
        "sampler": tuning.sampler,
        "learn": tuning.learn,
        "share": tuning.share,
        "survivors": tuning.survivors,
    }


def _check_names(
    config: Config, weights: Mapping[str, float], operators: Mapping[str, Operator]
) -> None:
    from operators.registry import all_operators

    # Those of other languages may be named as well.
    known = [*dict.fromkeys([*all_operators(), *operators])] if weights else []
    for name in weights:
        if name not in known:
            raise ConfigError(
                f'{config.path}: [operators.weights] unknown operator "{name}"'
                f"{nearest(name, known)}"
            )
