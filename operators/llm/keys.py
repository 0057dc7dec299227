"""Keys of model servers: read from the environment, and kept out of every text that leaves.

A key is sent to its server and nowhere else. Servers do repeat keys in their errors, and models
what they are told, so every text is scrubbed on its way out of a client.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from operators.llm.settings import ModelSettings
from populations.errors import ConfigError

# What a server without keys is sent: the openai package insists on one.
PLACEHOLDER = "none"
# Shorter values ("EMPTY", "ollama") are placeholders that also occur in honest code: they are taken
# out of errors, but not out of answers.
SECRET_LENGTH = 8
# Not every variable whose name ends in KEY holds a secret, but hardly a long word does not.
_LIKELY_LENGTH = 16
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,50}")
_SECRET_NAME = re.compile(r"(^|_)(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)$")


class Keys:
    """Values that must not be seen, by the names of their environment variables."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._forms = {
            name: {value, quote(value, safe=""), json.dumps(value)[1:-1], repr(value)[1:-1]}
            for name, value in values.items()
            if value
        }

    def __repr__(self) -> str:
        return f"Keys({', '.join(sorted(self._forms))})"

    def scrub(self, text: str) -> str:
        """`text` with the name of its variable in place of every secret."""
        for name, forms in self._forms.items():
            for form in sorted(forms, key=len, reverse=True):
                if len(form) >= SECRET_LENGTH:
                    text = text.replace(form, f"[{name}]")
        return text

    def scrub_error(self, text: str) -> str:
        """Like `scrub`, for texts that are no model's answer: short keys go as well."""
        text = self.scrub(text)
        for name, forms in self._forms.items():
            alone = "|".join(re.escape(form) for form in forms)
            text = f"[{name}]".join(re.split(rf"(?<!\w)(?:{alone})(?!\w)", text))
        return text


def is_local(url: str) -> bool:
    """Whether a server's address is this machine's own."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def shown(url: str) -> str:
    """An address without the name and password that may stand in it."""
    return url.rpartition("@")[2]


def api_key(settings: ModelSettings) -> str:
    """The key of a model's server, `PLACEHOLDER` where it needs none.

    None is needed by a server on this machine, or where `api_key_env` is empty.

    Raises:
        ConfigError: The variable that the settings name is not set, or its value cannot be sent.
    """
    name = settings.api_key_env
    key = os.environ.get(name, "").strip() if name else ""
    if not key:
        # The openai package reads the variable where it is told no address.
        url = settings.base_url or os.environ.get("OPENAI_BASE_URL", "")
        if not name or is_local(url):
            return PLACEHOLDER
        # Who wrote the key itself there shall not read it here.
        variable = name if _VARIABLE.fullmatch(name) else "that api_key_env names"
        raise ConfigError(
            f"model {settings.name!r}: {shown(url) or 'api.openai.com'} needs a key, but the"
            f" environment variable {variable} is not set"
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"model {settings.name!r}: the key in {name} has odd characters in it")
    return key


def keys_of(settings: ModelSettings, key: str) -> Keys:
    """What has to be kept out of the texts of a client that uses `key`."""
    return Keys({} if key == PLACEHOLDER else {settings.api_key_env: key})


def keys_in_environment() -> Keys:
    """Everything in the environment that looks like a secret by its variable's name."""
    return Keys(
        {
            name: value.strip()
            for name, value in os.environ.items()
            if _SECRET_NAME.search(name.upper()) and len(value.strip()) >= _LIKELY_LENGTH
        }
    )
