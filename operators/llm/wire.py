"""OpenAI's chat interface: what is sent for a prompt, and how what comes back is read.

Pure functions of records, shared by questions asked at once and by batches. Servers that call
themselves compatible differ; what is read here is read from plain JSON, so that a missing field is
a malformed answer and never an exception.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from operators.dialogue import Prompt
from operators.llm.settings import ModelSettings
from populations.call import Answer, Finish

# Characters of a token, at least: code is dense in tokens.
CHARACTERS_PER_TOKEN = 3
_LEAST_ANSWER = 16
# Words by which servers say that they do not take a parameter, as against its value.
_UNKNOWN = re.compile(
    r"unsupported|not supported|does not support|doesn't support|unrecogni[sz]ed|unknown|unexpected"
    r"|not permitted|not allowed|extra_forbidden|deprecated",
    re.IGNORECASE,
)
_ALSO_CALLED = {"reasoning_effort": r"reasoning[_. ]effort|thinking|think value|\breasoning\b"}
_OPTIONAL = ("max_completion_tokens", "max_tokens", "temperature", "reasoning_effort")
# Error codes by which a provider declines a prompt before any model sees it.
REFUSALS = frozenset({"content_filter", "content_policy_violation"})
_REASON_LENGTH = 400


class Parameters:
    """What goes with each question; learns what the server does not take.

    `max_tokens` is understood everywhere but by OpenAI's reasoning models, which refuse it aloud;
    `max_completion_tokens` is ignored silently by Ollama and older servers, which is worse. So
    OpenAI itself is sent the latter, everybody else the former, and a refusal teaches the other.
    """

    def __init__(self, settings: ModelSettings, *, openai_itself: bool) -> None:
        self._settings = settings
        lengths = ("max_completion_tokens", "max_tokens")
        self._lengths = lengths if openai_itself else lengths[::-1]
        self._refused: set[str] = set()

    def body(self, prompt: Prompt) -> dict[str, Any]:
        """The request for `prompt`."""
        settings = self._settings
        body: dict[str, Any] = {
            "model": settings.model or settings.name,
            "messages": [{"role": m.role, "content": m.text} for m in prompt.messages],
        }
        length = next((name for name in self._lengths if name not in self._refused), None)
        if length:
            body[length] = answer_length(prompt, settings)
        if settings.temperature is not None and "temperature" not in self._refused:
            body["temperature"] = settings.temperature
        if settings.reasoning_effort and "reasoning_effort" not in self._refused:
            body["reasoning_effort"] = settings.reasoning_effort
        return body

    def learn(self, sent: Collection[str], status: int, complaint: str) -> bool:
        """Take in a refusal.

        Args:
            sent: Names of the parameters that were sent.
            status: HTTP status of the refusal.
            complaint: The server's words.

        Returns:
            Whether it was about one of the parameters, so that asking again makes sense. Several
            questions under way may learn the same thing: it is true for each.
        """
        if status not in {400, 422, 501} or not _UNKNOWN.search(complaint):
            return False
        for name in _OPTIONAL:
            pattern = _ALSO_CALLED.get(name, rf"\b{name}\b")
            if name in sent and re.search(pattern, complaint):
                self._refused.add(name)
                return True
        return False


def answer_length(prompt: Prompt, settings: ModelSettings) -> int:
    """Tokens that an answer may have: what is wanted, as far as the context has room for it."""
    wanted = prompt.max_tokens or settings.max_tokens
    characters = sum(len(message.text) for message in prompt.messages)
    room = settings.context - characters // CHARACTERS_PER_TOKEN
    return min(wanted, max(room, _LEAST_ANSWER))


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a question took."""

    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.tokens_in + other.tokens_in,
            self.tokens_cached + other.tokens_cached,
            self.tokens_out + other.tokens_out,
        )

    def cost_usd(self, settings: ModelSettings) -> float:
        """By the settings' prices; cached tokens cost like others where no price is given."""
        cached_price = settings.price_cached or settings.price_in
        fresh = self.tokens_in - self.tokens_cached
        return (
            fresh * settings.price_in
            + self.tokens_cached * cached_price
            + self.tokens_out * settings.price_out
        ) / 1e6


@dataclass(frozen=True, slots=True)
class Reading:
    """What stood in a response. FAILED: malformed, `text` says how."""

    finish: Finish
    text: str
    usage: Usage = Usage()

    def answer(self, settings: ModelSettings, *, latency_s: float) -> Answer:
        """The record of it."""
        return Answer(
            text=self.text,
            finish=self.finish,
            model=settings.name,
            tokens_in=self.usage.tokens_in,
            tokens_cached=self.usage.tokens_cached,
            tokens_out=self.usage.tokens_out,
            cost_usd=self.usage.cost_usd(settings),
            latency_s=latency_s,
        )


def read_text(text: str) -> Reading:
    """A response's body, whatever it is."""
    return read(from_json(text))


def read(body: object) -> Reading:
    """A chat completion as JSON, whatever it is."""
    if not isinstance(body, Mapping):
        return Reading(Finish.FAILED, f"malformed answer: {error_text(body)}")
    usage = _usage(body.get("usage"))
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        return Reading(Finish.FAILED, f"malformed answer: {error_text(body)}", usage)
    text = _content(message.get("content"))
    refusal = message.get("refusal")
    ended = choice.get("finish_reason")
    if ended == "error" or choice.get("error"):
        return Reading(Finish.FAILED, f"broken off: {error_text(choice)}", usage)
    if ended == "content_filter" or (isinstance(refusal, str) and refusal.strip()):
        words = text or (refusal if isinstance(refusal, str) else "")
        return Reading(Finish.REFUSED, words or "stopped by the provider's filter", usage)
    if ended == "length":
        return Reading(Finish.TRUNCATED, text, usage)
    return Reading(Finish.COMPLETE if text.strip() else Finish.EMPTY, text, usage)


def from_json(text: str) -> object:
    """What a text says as JSON; the text itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def error_text(body: object) -> str:
    """What a server says went wrong, on one line."""
    while isinstance(body, Mapping):
        inner = next(
            (body[name] for name in ("error", "message", "detail") if body.get(name)), None
        )
        if inner is None:
            break
        # A router's word for what the provider behind it said.
        behind = body.get("metadata")
        raw = behind.get("raw") if isinstance(behind, Mapping) else None
        body = f"{inner}: {raw}" if isinstance(inner, str) and isinstance(raw, str) else inner
    return one_line(body if isinstance(body, str) else json.dumps(body, default=repr))


def one_line(text: object, length: int = _REASON_LENGTH) -> str:
    """`text` without line breaks, cut to `length` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[: length - 3] + "..."


def complaint(body: object) -> str:
    """A refusal's words, with the parameter that it names."""
    if isinstance(body, Mapping):
        named = " ".join(str(body.get(name) or "") for name in ("code", "param"))
        return f"{named} {error_text(body)} {one_line(body, 2000)}"
    return one_line(body, 2000)


def _content(content: object) -> str:
    """A message's text, which some servers send in parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, Mapping))
    return "".join(part for part in parts if isinstance(part, str))


def _usage(usage: object) -> Usage:
    if not isinstance(usage, Mapping):
        return Usage()
    tokens_in = _count(usage.get("prompt_tokens"))
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, Mapping) else 0
    cached = cached or _count(usage.get("prompt_cache_hit_tokens"))
    # Some count the reasoning in the total alone.
    rest = _count(usage.get("total_tokens")) - tokens_in
    tokens_out = max(_count(usage.get("completion_tokens")), rest)
    return Usage(tokens_in, min(cached, tokens_in), tokens_out)


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
