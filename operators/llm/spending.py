"""What questions to models may cost, and what they have cost: money, tokens, calls.

A limit holds for what is under way too: a question is put only while what has been spent, what the
open questions may cost and what it may cost itself are within the limit. Until answers have shown
what they cost, a question is taken to cost as much as it can; then as much as the dearest so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from operators.dialogue import Prompt
from operators.llm.settings import ModelSettings
from populations.call import Answer

# A token of English and code is some 3.5 characters; fewer here, so that the estimate is high.
_CHARACTERS_PER_TOKEN = 3.0
# Answers of a model after which the dearest of them is what a question is taken to cost.
_KNOWN_AFTER = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent; 0 means no such limit."""

    cost_usd: float = 0.0
    tokens: int = 0
    calls: int = 0


@dataclass(slots=True)
class _Account:
    """One model's: what its open questions are taken to cost, and the dearest answer so far."""

    open: list[tuple[float, int]] = field(default_factory=list)
    answers: int = 0
    dearest_usd: float = 0.0
    longest: int = 0


class Spending:
    """Counts what is spent on all models of a run."""

    def __init__(self, models: Mapping[str, ModelSettings], limits: Limits | None = None) -> None:
        """Start from nothing spent.

        Args:
            models: Prices and lengths, by name.
            limits: What may be spent.
        """
        self.cost_usd = 0.0
        """US dollars so far, earlier sessions included."""
        self.tokens = 0
        """Tokens of prompts and answers so far."""
        self.calls = 0
        """Questions answered so far."""
        self._models = models
        self._limits = limits or Limits()
        self._accounts = {name: _Account() for name in models}

    def reserve(self, model: str, prompt: Prompt) -> str:
        """Set aside what a question may cost; says which limit keeps it from being put, or ""."""
        account = self._accounts.setdefault(model, _Account())
        cost_usd, tokens = self._estimate(model, prompt)
        if refused := self._over(cost_usd, tokens):
            return refused
        account.open.append((cost_usd, tokens))
        return ""

    def returned(self, model: str) -> None:
        """Give back what was set aside for one question, which has been answered or dropped."""
        account = self._accounts.setdefault(model, _Account())
        if account.open:
            account.open.pop(0)

    def add(self, answer: Answer) -> None:
        """Count an answer, recorded ones of earlier sessions included."""
        self.cost_usd += answer.cost_usd
        self.tokens += answer.tokens_in + answer.tokens_out
        self.calls += 1
        account = self._accounts.setdefault(answer.model, _Account())
        if answer.tokens_out:
            account.answers += 1
            account.dearest_usd = max(account.dearest_usd, answer.cost_usd)
            account.longest = max(account.longest, answer.tokens_in + answer.tokens_out)

    def in_flight(self) -> tuple[float, int, int]:
        """What open questions are taken to cost: (US dollars, tokens, how many there are)."""
        pairs = [pair for account in self._accounts.values() for pair in account.open]
        return sum(p[0] for p in pairs), sum(p[1] for p in pairs), len(pairs)

    def full(self) -> str:
        """The limit that leaves no room for a further question until open ones are answered."""
        for model in self._models:
            if refused := self._over(*self._estimate(model, Prompt(()))):
                return refused
        return ""

    def exhausted(self) -> str:
        """The limit that has been reached, in a few words, or ""."""
        limits = self._limits
        if limits.cost_usd and self.cost_usd >= limits.cost_usd:
            return f"{limits.cost_usd:g} US dollars for models"
        if limits.tokens and self.tokens >= limits.tokens:
            return f"{limits.tokens} tokens"
        if limits.calls and self.calls >= limits.calls:
            return f"{limits.calls} model calls"
        return ""

    def _estimate(self, model: str, prompt: Prompt) -> tuple[float, int]:
        account = self._accounts[model]
        if account.answers >= _KNOWN_AFTER:
            return account.dearest_usd, account.longest
        settings = self._models.get(model)
        tokens_in = int(sum(len(m.text) for m in prompt.messages) / _CHARACTERS_PER_TOKEN) + 1
        tokens_out = prompt.max_tokens or (settings.max_tokens if settings else 0)
        if settings is None:
            return 0.0, tokens_in + tokens_out
        cost = (tokens_in * settings.price_in + tokens_out * settings.price_out) / 1e6
        return cost, tokens_in + tokens_out

    def _over(self, cost_usd: float, tokens: int) -> str:
        open_usd, open_tokens, open_calls = self.in_flight()
        limits = self._limits
        # The first question of all is put whatever it may cost: nothing is known of it yet.
        known = bool(self.calls or open_calls)
        if limits.cost_usd and self.cost_usd + open_usd + known * cost_usd > limits.cost_usd:
            return f"the budget of {limits.cost_usd:g} US dollars is spent, open questions counted"
        if limits.tokens and self.tokens + open_tokens + known * tokens > limits.tokens:
            return f"the budget of {limits.tokens} tokens is spent, open questions counted"
        if limits.calls and self.calls + open_calls >= limits.calls:
            return f"the budget of {limits.calls} model calls is spent"
        return ""
