"""A model's server with the key to it, as every client that uses the openai package needs it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from operators.llm.keys import Keys, api_key, keys_of, shown
from operators.llm.settings import ModelSettings
from operators.llm.wire import REFUSALS, Parameters, Reading, error_text, from_json, one_line
from populations.call import Answer, Finish
from populations.errors import ConfigError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_CONNECT_S = 10.0
# What the transport logs of addresses and headers may hold a key, and is nobody's concern here.
_LOUD = {"httpcore": logging.INFO, "httpx": logging.WARNING}


class Connection:
    """A server with the key to it, and how its errors read.

    Attributes:
        api: The openai package's client.
        keys: What no text may show.
        parameters: What is sent with each question.
    """

    def __init__(self, settings: ModelSettings) -> None:
        """Read the key and prepare a client; nothing is sent yet.

        Raises:
            ConfigError: There is no key, or `base_url` is no address of a server.
        """
        import openai

        key = api_key(settings)
        _hush()
        self.keys: Keys = keys_of(settings, key)
        self._settings = settings
        url = settings.base_url
        if url and not _is_address(url):
            raise ConfigError(
                f"model {settings.name!r}: base_url {self.keys.scrub_error(shown(url))!r} is no"
                ' address of a server, such as "http://localhost:8000/v1"'
            )
        self.api: AsyncOpenAI = openai.AsyncOpenAI(
            api_key=key,
            base_url=url or None,
            timeout=openai.Timeout(settings.timeout_s, connect=min(_CONNECT_S, settings.timeout_s)),
            max_retries=settings.retries,
        )
        host = self.api.base_url.host
        openai_itself = host == "openai.com" or host.endswith(".openai.com")
        self.parameters = Parameters(settings, openai_itself=openai_itself)
        port = self.api.base_url.port
        self._where = f"{settings.model or settings.name} at {host}{f':{port}' if port else ''}"

    def __repr__(self) -> str:
        return f"Connection({self._where})"

    def reading_of(self, error: BaseException) -> Reading:
        """What an exception comes to: REFUSED where the provider declined, else FAILED."""
        import openai

        tries = self._settings.retries + 1
        if isinstance(error, openai.APIStatusError):
            said = error_text(from_json(self.keys.scrub_error(error.response.text)))
            finish = Finish.REFUSED if error.code in REFUSALS else Finish.FAILED
            return Reading(finish, self._reason(f"{error.status_code}: {said}"))
        if isinstance(error, (openai.APITimeoutError, TimeoutError)):
            limit = f"no answer within {self._settings.timeout_s:g} s ({tries} tries)"
            return Reading(Finish.FAILED, self._reason(limit))
        if isinstance(error, openai.APIConnectionError):
            why = error.__cause__ or error
            return Reading(
                Finish.FAILED, self._reason(f"no connection ({tries} tries): {one_line(why)}")
            )
        return Reading(Finish.FAILED, self._reason(f"{type(error).__name__}: {error}"))

    def answer(self, reading: Reading, *, latency_s: float) -> Answer:
        """The record of a reading, without any key in it, and fit to be kept as UTF-8."""
        scrub = self.keys.scrub_error if reading.finish is Finish.FAILED else self.keys.scrub
        text = scrub(reading.text).encode("utf-8", errors="replace").decode("utf-8")
        clean = Reading(reading.finish, text, reading.usage)
        return clean.answer(self._settings, latency_s=latency_s)

    def _reason(self, text: str) -> str:
        # Scrubbed before it is cut: half a key is a key for who knows the other half.
        return one_line(f"{self._where}: {self.keys.scrub_error(text)}")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _hush() -> None:
    for package, least in _LOUD.items():
        # The openai package has moved from one generation of them to the next.
        for name in (package, f"{package}2"):
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, least))
