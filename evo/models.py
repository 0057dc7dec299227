"""The language models of an experiment: operators that ask them, the desk, what they are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evo.config import Config
from evo.device import Device
from operators.operator import Brief, Inapplicable, Operator, Situation, Variation
from populations.kernel import Kernel

if TYPE_CHECKING:
    from operators.dialogue import Conversation
    from operators.llm.desk import Desk
    from operators.llm.settings import ModelSettings
    from populations.store import Store

# Of what a model takes, the share that a prompt may fill; the answer needs the rest.
_PROMPT_SHARE = 0.6
_TOLD = ("device", "threads", "cores", "compiler", "driver", "python", "torch", "triton")
_POLICIES = {
    "allow_library_calls": "products, convolutions, attention of libraries (torch, cuBLAS, BLAS)",
    "allow_torch_compute": "operations of torch that compute on tensors",
    "allow_state": "caches, written attributes, CUDA graphs, static variables of C++",
}
# Longer prompts cost more than they bring.
_MOST_PROMPT = 24_000


@dataclass(frozen=True, slots=True)
class Named:
    """An operator under another name: the same one with several models are several."""

    name: str
    operator: Operator

    @property
    def arity(self) -> int:
        """How many parents it takes."""
        return self.operator.arity

    def vary(
        self, parents: Sequence[Kernel], situation: Situation
    ) -> Variation | Inapplicable | Conversation:
        """What the operator does."""
        return self.operator.vary(parents, situation)


def model_operators(config: Config) -> tuple[dict[str, Operator], dict[str, float]]:
    """Operators that ask a model and their prior weights, by name; empty without `[[models]]`.

    With several models each operator is there once per model, as `rewrite@MODEL`.
    """
    operators: dict[str, Operator] = {}
    weights: dict[str, float] = {}
    if not config.models:
        return operators, weights
    from operators.llm.registry import model_operators as made

    for model in config.models:
        for name, operator in made(model.name, context_tokens=prompt_tokens(model)).items():
            own = name if len(config.models) == 1 else f"{name}@{model.name}"
            operators[own] = Named(own, operator)
            weights[own] = getattr(operator, "weight", 1.0) * model.weight
    total = sum(weights.values())
    scale = config.operators.model / total if total else 0.0
    return operators, {name: scale * weight for name, weight in weights.items()}


def check_models(config: Config) -> None:
    """Nothing is asked or written.

    Raises:
        ConfigError: A model's key is missing, or a document cannot be read.
    """
    from operators.knowledge.recall import knowledge
    from operators.llm.keys import api_key

    if config.models:
        knowledge(extra=config.knowledge.directories)
    for model in config.models:
        if model.provider != "exchange":
            api_key(model)


def model_lines(config: Config) -> list[str]:
    """One line per model: where it is, and what its calls may cost by its prices."""
    from operators.llm.keys import shown

    lines = []
    for model in config.models:
        tokens_in = prompt_tokens(model)
        most = (tokens_in * model.price_in + model.max_tokens * model.price_out) / 1e6
        cost = f", at most {most:.3f} US dollars a call" if most else ", without prices"
        where = {"exchange": " ".join(model.command) or "files"}.get(
            model.provider, shown(model.base_url) or "the default server"
        )
        lines.append(f"{model.name}: {model.provider}, {where}, {model.parallel} at once{cost}")
    return lines


def prompt_tokens(model: ModelSettings) -> int:
    """What a prompt may take of a model's context."""
    room = min(int(_PROMPT_SHARE * model.context), _MOST_PROMPT)
    return max(min(room, model.context - model.max_tokens), room // 2)


def open_desk(config: Config, store: Store, directory: Path) -> Desk | None:
    """The desk of a run, with what its earlier sessions were answered; None without models.

    Raises:
        ConfigError: A model cannot be asked: its key is missing, its directory cannot be made.
    """
    if not config.models:
        return None
    from operators.llm.desk import Desk, by_turn
    from operators.llm.providers import answerer
    from operators.llm.spending import Limits, Spending

    budget = config.budget
    limits = Limits(budget.cost_usd, budget.tokens, budget.calls)
    spending = Spending({model.name: model for model in config.models}, limits)
    calls = store.calls()
    for call in calls:
        spending.add(call.answer)
    return Desk(
        answerers={m.name: answerer(m, run_directory=directory) for m in config.models},
        keep=store.add_call,
        spending=spending,
        recorded=by_turn(calls),
        patient=frozenset(model.name for model in config.models if model.wait),
    )


def replaying_desk(config: Config, old: Store, store: Store) -> Desk | None:
    """A desk that answers from a recorded run alone; None where that asked nobody.

    The prompts may have changed since: what decides is what was answered.
    """
    if not config.models:
        return None
    from operators.llm.desk import Desk, by_turn
    from operators.llm.spending import Spending

    return Desk(
        answerers={},
        keep=store.add_call,
        spending=Spending({}),
        recorded=by_turn(old.calls()),
        strict=False,
        counted=False,
    )


def brief(config: Config, device: Device, store: Store) -> Brief | None:
    """What models are told of the problem and of this machine; None without models.

    A function of the run directory alone, so that a run grown again asks the same.
    """
    if not config.models:
        return None
    from evo.experiment import languages
    from evo.library import knowledge_of

    baselines: Mapping[str, Mapping[str, float]] = store.meta("baselines") or {}
    return Brief(
        problem=config.problem.path.read_text(encoding="utf-8"),
        target="\n".join(target_lines(config, store)),
        languages=languages(config, device),
        workloads=tuple(baselines),
        baselines_ms=baselines,
        knowledge=knowledge_of(config, store.directory),
    )


def target_lines(config: Config, store: Store) -> list[str]:
    """What a prompt says of the machine and of what the experiment does not allow."""
    facts: Mapping[str, str] = store.meta("facts") or {}
    lines = [f"{label}: {facts[label]}" for label in _TOLD if label in facts]
    lines += store.meta("device_lines") or []
    for key, text in _POLICIES.items():
        if not getattr(config.evaluation, key):
            lines.append(f"not allowed in this experiment: {text}")
    return lines
