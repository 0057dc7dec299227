"""What the tests of clients share: a server, a key, questions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.operators.llm.server import KEY, LocalServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    monkeypatch.setenv("LOCAL_KEY", KEY)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with LocalServer() as running:
        yield running
