"""Sources that no operator would write: each gets a verdict, and no judge is lost."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks import fuzz
from populations.outcome import Outcome


@pytest.mark.compiler
def test_the_judge_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    for name in ("XDG_RUNTIME_DIR", "EVO_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path))  # set anew by the command; put back here
    file = tmp_path / "counts.json"
    assert fuzz.main(["60", "--seed", "3", "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert sum(found["outcomes"].values()) == 60
    assert found["failures"] == []
    assert found["processes_lost"] == 0
    assert set(found["outcomes"]) <= {str(outcome) for outcome in Outcome}
    # Some come as far as being run, and most do not.
    assert found["outcomes"]["rejected"] > 20
    assert set(found["outcomes"]) & {"passed", "runtime_error", "wrong_values"}
    assert "60 sources in" in capsys.readouterr().out


@pytest.mark.compiler
def test_it_lives_without_the_gate_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("XDG_RUNTIME_DIR", "EVO_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    found = fuzz.measure(40, 4, gate=False)
    assert sum(found["outcomes"].values()) == 40
    assert found["failures"] == []
    assert found["processes_lost"] == 0
    # What the gate would have told is told by the compilers.
    assert found["outcomes"]["compile_error"] > 10


def test_sources_are_drawn_alike_and_of_every_kind():
    first, again = (list(fuzz.sources(400, random.Random(5))) for _ in range(2))
    assert first == again
    assert {kind for kind, _ in first} == set(fuzz.KINDS)
    assert len({candidate.digest for _, candidate in first}) > 380
    assert first != list(fuzz.sources(400, random.Random(6)))
