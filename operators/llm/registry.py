"""Every operator that asks a language model, by name."""

from __future__ import annotations

from operators.llm.operators.base import ModelOperator
from operators.llm.operators.crossover import Crossover
from operators.llm.operators.draft import Draft
from operators.llm.operators.edit import Edit
from operators.llm.operators.explain import Explain
from operators.llm.operators.repair import Repair
from operators.llm.operators.rewrite import Rewrite
from operators.llm.operators.simplify import Simplify
from operators.llm.operators.translate import Translate
from operators.operator import Operator

OPERATORS: tuple[type[ModelOperator], ...] = (
    Draft,
    Rewrite,
    Edit,
    Crossover,
    Repair,
    Explain,
    Simplify,
    Translate,
)


def model_operators(model: str, *, context_tokens: int) -> dict[str, Operator]:
    """The operators that ask one model, by name.

    Args:
        model: The model's name, one of the experiment's `[[models]]`.
        context_tokens: Length of a prompt at most, tokens: what the model may have for prompt and
            answer together, less what its answer may take.
    """
    made = [kind(model=model, context_tokens=context_tokens) for kind in OPERATORS]
    return {operator.name: operator for operator in made}
