"""Texts that are compared with recorded ones; recorded again only by `--record-golden`.

python -m pytest tests/operators/llm/golden --record-golden
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

TEXTS = Path(__file__).with_name("texts")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-golden", action="store_true", help="record the golden texts instead of comparing"
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with the recorded one of this name."""
    # The option is there only where this folder is named on the command line.
    record = request.config.getoption("record_golden", default=False)

    def compare(name: str, text: str) -> None:
        path = TEXTS / f"{name}.txt"
        if record:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text + "\n", f"{path} differs"

    return compare
