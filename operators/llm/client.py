"""Asks a server that has OpenAI's chat interface: OpenAI, vLLM, Ollama, llama.cpp, OpenRouter."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from typing import Any

from operators.dialogue import Prompt
from operators.llm.background import Background
from operators.llm.connection import Connection
from operators.llm.settings import ModelSettings
from operators.llm.wire import Reading, Usage, complaint, read_text
from populations.call import Answer, Finish

# What the openai package waits between two tries at most, by a server's Retry-After.
_LONGEST_PAUSE_S = 120.0
# Pauses before a malformed answer is asked for again.
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.5, 8.0


class ChatClient:
    """One model of a chat server, asked at once. See `operators.llm.answerer.Answerer`.

    Connections that break, time-outs, 408, 409, 429 and 5xx are tried again by the openai package,
    `retries` times in all, with the pauses that the server asks for up to two minutes; answers that
    cannot be read are asked for again as often. A parameter that the server refuses is left out
    from then on. `latency_s` counts from when the question goes out: its tries and their pauses,
    not the wait for one of the `parallel` places.
    """

    def __init__(self, settings: ModelSettings) -> None:
        """Read the key from the environment; the first question starts a thread.

        Raises:
            ConfigError: There is no key, or `base_url` is no address of a server.
        """
        self._settings = settings
        self._connection = Connection(settings)
        self._background = Background(f"model {settings.name}", at_end=self._connection.api.close)
        self._places = asyncio.Semaphore(settings.parallel)
        # A server that sends a byte now and then is never idle for `timeout_s`.
        pauses_s = settings.retries * _LONGEST_PAUSE_S
        self._limit_s = (settings.retries + 1) * settings.timeout_s + pauses_s

    def __repr__(self) -> str:
        return f"ChatClient({self._connection!r})"

    def ask(self, prompt: Prompt, *, proposal: int, turn: int, operator: str) -> Future[Answer]:  # noqa: ARG002 - one interface
        """Put a question; a server keeps nothing, so it is always a new one."""
        return self._background.submit(self._answer(prompt))

    def dormant(self) -> bool:
        """Never: the server is at it."""
        return False

    def close(self) -> None:
        """Break off what is under way: its futures are cancelled."""
        self._background.close()

    async def _answer(self, prompt: Prompt) -> Answer:
        async with self._places:
            start = time.monotonic()
            spent = [Usage()]
            try:
                async with asyncio.timeout(self._limit_s):
                    reading = await self._ask(prompt, spent)
            except Exception as error:  # noqa: BLE001 - whatever a server brings about is an answer
                reading = self._connection.reading_of(error)
            whole = Reading(reading.finish, reading.text, sum(spent, Usage()))
            return self._connection.answer(whole, latency_s=time.monotonic() - start)

    async def _ask(self, prompt: Prompt, spent: list[Usage]) -> Reading:
        """The first answer that can be read; `spent` gets what each try took."""
        import openai

        create: Any = self._connection.api.chat.completions.with_raw_response.create
        parameters, malformed = self._connection.parameters, 0
        while True:
            body = parameters.body(prompt)
            try:
                response = await create(**body)
            except openai.APIStatusError as error:
                if parameters.learn(body, error.status_code, complaint(error.body)):
                    continue
                raise
            reading = read_text(self._connection.keys.scrub(response.http_response.text))
            spent.append(reading.usage)
            if reading.finish is not Finish.FAILED or malformed == self._settings.retries:
                return reading
            await asyncio.sleep(min(_FIRST_PAUSE_S * 2**malformed, _LAST_PAUSE_S))
            malformed += 1
