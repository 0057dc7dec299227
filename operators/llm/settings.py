"""One model of an experiment: where it is, what it costs, how it is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


def _at_least(least: float, default: float) -> Any:
    return field(default=default, metadata={"least": least})


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """[[models]]: one model. Prices are US dollars per million tokens.

    `provider` says how a prompt gets there:

    - "openai": any server with OpenAI's chat interface, asked at once;
    - "batch": OpenAI's Batch API: answers come within a day, at half price;
    - "exchange": prompts are files in `directory`, answers are read from there, whoever writes
      them; with `command` that program is run for each, the prompt on its standard input.
    """

    name: str  # as operators, the store and the report call it
    provider: Literal["openai", "batch", "exchange"] = "openai"
    model: str = ""  # the server's name of the model; empty: `name`
    base_url: str = ""  # of the server; empty: the openai package's own default
    api_key_env: str = "OPENAI_API_KEY"  # name of the variable that holds the key
    price_in: float = _at_least(0, 0.0)
    price_cached: float = _at_least(0, 0.0)  # 0: as `price_in`
    price_out: float = _at_least(0, 0.0)
    context: int = _at_least(1024, 128_000)  # tokens that prompt and answer may have together
    max_tokens: int = _at_least(16, 16_000)  # of an answer, reasoning included
    temperature: float | None = None  # None: the server's default
    reasoning_effort: str = ""  # "low", "medium", "high" where the model has it
    parallel: int = _at_least(1, 8)  # questions under way at once
    timeout_s: float = _at_least(0.01, 600.0)  # of one try
    retries: int = _at_least(0, 4)
    directory: Path | None = None  # of an exchange; None: "exchange" in the run directory
    command: tuple[str, ...] = ()  # of an exchange: answers on its standard output
    wait: bool = False  # of an exchange or batch: whether the run waits for answers
    weight: float = _at_least(0, 1.0)  # prior weight among the models
