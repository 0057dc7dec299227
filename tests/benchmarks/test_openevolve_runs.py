"""Which runs the comparison makes, in what order, and what it keeps of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ablation.results import append, pack, read, unpack
from benchmarks.ablation.runs import Run
from benchmarks.openevolve import __main__ as command
from benchmarks.openevolve.ours import OPENEVOLVE, OPENEVOLVE_DISTINCT, Job, openevolve
from tests.fitness.landscape.test_table import GOLDEN

KEPT_RUN = Run("conv1d_cpu", OPENEVOLVE_DISTINCT, 1, 9, 9, ((1, 0),), "", "even", 1.0)


class Place:
    """Where a command's files are, and the jobs that it carried out."""

    def __init__(self, folder: Path) -> None:
        self.kept, self.file = folder / "results.json", folder / "runs.jsonl"
        self.jobs: list[Job] = []

    def run(self, *words: str) -> int:
        table = ("--landscapes", "conv1d_cpu", "--evaluations", "9", "--file", str(self.file))
        return command.main(["run", *table, *words])

    def each(self, _function: Any, tasks: Sequence[Job], *, jobs: int) -> Iterator[list[Run]]:
        assert jobs == 3
        for job in tasks:
            self.jobs.append(job)
            run = replace(KEPT_RUN, arm=job.arm, seed=job.seed, champions=((1, 0), (2, 5)))
            both = job.arm == OPENEVOLVE_DISTINCT
            yield [*([replace(run, arm=OPENEVOLVE)] if both else []), run]

    def keep(self, *runs: Run) -> None:
        about = {"openevolve": "0.4.0", "evaluations": 9, "seeds": 1}
        self.kept.write_text(pack(runs, about))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path)
    monkeypatch.setattr(command, "KEPT", made.kept)
    monkeypatch.setattr(command, "RESULTS", tmp_path / "RESULTS.md")
    monkeypatch.setattr(command, "each", made.each)
    return made


def test_what_is_kept_or_in_the_file_is_not_done_again(place: Place) -> None:
    place.keep(KEPT_RUN, replace(KEPT_RUN, arm="islands"))
    append(place.file, replace(KEPT_RUN, arm="population", seed=2))
    assert place.run("--seeds", "2", "--jobs", "3", "--python", sys.executable) == 0
    done = [(job.seed, job.arm) for job in place.jobs]
    assert len(done) == len(set(done)) == 2 * (1 + len(command.OURS)) - 3
    assert not {(1, OPENEVOLVE_DISTINCT), (1, "islands"), (2, "population")} & set(done)
    # One seed after the other, OpenEvolve first.
    assert done == sorted(done, key=lambda one: (one[0], one[1] != OPENEVOLVE_DISTINCT))
    assert len(read(place.file)) == len(done) + 1 + 1
    about, runs = unpack(place.kept)
    assert (about["openevolve"], about["seeds"]) == ("0.4.0", 1)
    assert {run.seed for run in runs if run.arm == "islands"} == {1, 2}
    place.jobs.clear()
    assert place.run("--seeds", "2", "--jobs", "3") == 0
    assert not place.jobs


def test_anew_are_our_runs_alone(place: Place) -> None:
    place.keep(KEPT_RUN, replace(KEPT_RUN, arm="islands"))
    assert place.run("--seeds", "1", "--jobs", "3", "--anew") == 0
    assert [job.arm for job in place.jobs] == list(command.OURS)
    champions = {run.arm: run.champions for run in unpack(place.kept)[1]}
    assert champions[OPENEVOLVE_DISTINCT] == KEPT_RUN.champions
    assert champions["islands"] == ((1, 0), (2, 5))


def test_no_run_of_openevolve_without_a_python_that_has_it(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.run("--jobs", "3") == 1
    assert "--python" in capsys.readouterr().err
    assert not place.jobs


def test_a_report_takes_in_a_file_that_was_cut_off(place: Place) -> None:
    place.keep(*(replace(KEPT_RUN, seed=seed) for seed in (1, 2)))
    append(place.file, replace(KEPT_RUN, seed=3, champions=((1, 0), (4, 7))))
    append(place.file, replace(KEPT_RUN, arm="islands"))
    append(place.file, replace(KEPT_RUN, seed=4, budget=5))
    assert command.main(["report", "--file", str(place.file)]) == 0
    about, runs = unpack(place.kept)
    assert [(run.arm, run.seed) for run in runs] == [
        ("islands", 1),
        *((OPENEVOLVE_DISTINCT, seed) for seed in (1, 2, 3)),
    ]
    assert "1 to 3 seeds" in (place.kept.parent / "RESULTS.md").read_text()
    assert about["openevolve"] == "0.4.0"


FAKE = """
import json, os, sys, urllib.request
from pathlib import Path
from benchmarks.openevolve.evaluation import evaluate
from tests.benchmarks.test_openevolve import prompt
url, program = sys.argv[2:4]
assert evaluate(program)["combined_score"] > 0
body = {"model": "m", "messages": [{"content": prompt(Path(program).read_text(), "")}]}
asked = urllib.request.Request(url + "/chat/completions", json.dumps(body).encode())
child = json.load(urllib.request.urlopen(asked))["choices"][0]["message"]["content"]
Path(program).write_text(child.removeprefix("```python").removesuffix("```\\n"))
evaluate(program)
"""


def test_a_script_may_stand_for_a_python_that_has_it(tmp_path: Path) -> None:
    fake, script = tmp_path / "fake.py", tmp_path / "python"
    fake.write_text(FAKE)
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {fake} "$@"\n')
    script.chmod(0o700)
    every, distinct = openevolve(script, GOLDEN, 1, 2)
    assert (every.arm, every.spent, distinct.spent) == (OPENEVOLVE, 2, 2)
    assert every.champions[0][0] == 1
