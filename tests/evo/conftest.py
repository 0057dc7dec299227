"""What tests of commands and experiments share."""

from pathlib import Path

import pytest

from tests.evo.experiments import MINIMAL


@pytest.fixture
def experiment(tmp_path):
    """Write an experiment file among the files that it names."""
    (tmp_path / "problem.py").write_text("problem")
    (tmp_path / "seed.py").write_text("seed")
    path = tmp_path / "toy.toml"

    def write(text: str = MINIMAL) -> Path:
        path.write_text(text, encoding="utf-8")
        return path

    return write
