"""Points of every kind of ending, measured in confined processes on the CPU."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.landscape.batch import Batch
from benchmarks.landscape.lattice import Point
from benchmarks.landscape.records import Record, Records, read
from fitness.spec import EvaluationSpec
from populations.errors import ConfigError

PROBLEM = Path(__file__).parents[2] / "benchmarks/trivial/problem.py"
SOURCE = """
import os, time
import torch

class ModelNew(torch.nn.Module):
    def forward(self, a, b):
        {body}
"""
BODIES = {
    "passed": "return a + b",
    "also right": "return torch.add(b, a)",
    "wrong_values": "return a - b",
    "wrong_shape": "return (a + b)[:-1]",
    "raises": "raise RuntimeError('no')",
    "crash": "os.abort()",
    "hang": "time.sleep(100)",
    "broken": "return ))",
}


def _point(name: str, number: int) -> Point:
    source = SOURCE.format(body=BODIES[name]) + f"# {number}\n"
    return Point(number, {"NUMBER": number}, source, "python")


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Batch]:
    """Two builders on the trivial problem."""
    spec = EvaluationSpec(
        problem=PROBLEM,
        cache_dir=tmp_path / "cache",
        workloads=("default",),
        baselines=("eager",),
        pairs=5,
        min_effect=10.0,
        give_up_below=0.0,
        build_limit_s=20.0,
    )
    lines: list[str] = []
    with Batch(spec, workers=2, rng=random.Random(1), progress=lines.append) as found:
        yield found


@pytest.mark.timeout(120)
def test_a_point_that_fails_costs_that_point_alone(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.landscape.batch._CHECK_LIMIT_S", 2.0)
    points = [_point(name, number) for number, name in enumerate([*BODIES, "passed"])]
    records = {r.variant: r for r in batch.points(points, time.monotonic() + 100)}
    assert {n: records[n].outcome for n in sorted(records)} == {
        0: "passed",
        1: "passed",
        2: "wrong_values",
        3: "wrong_shape",
        4: "runtime_error",
        5: "runtime_error",
        6: "timeout",
        7: "compile_error",
        8: "passed",
    }
    for number in (0, 1, 8):
        assert len(records[number].log_ratios) >= 5
        assert records[number].candidate_ms > 0
    assert batch.table is not None
    assert list(batch.table.times_ms["default"]) == ["eager"]


@pytest.mark.timeout(120)
def test_it_ends_when_time_is_up(batch: Batch) -> None:
    began = time.monotonic()
    points = [_point("passed", number) for number in range(2000)]
    found = list(batch.points(points, time.monotonic() + 8))
    assert len(found) < len(points)
    assert time.monotonic() - began < 40


def test_results_go_on_where_they_stopped(tmp_path: Path) -> None:
    path, header = tmp_path / "x.jsonl", {"digest": "a", "workload": "w"}
    record = Record(digest="1", variant=0, values={"B": 4}, outcome="passed", log_ratios=[0.5])
    with Records(path, header, ["digest"]) as records:
        records.add(record)
    with path.open("a") as file:
        file.write('{"digest":"2","vari')
    with Records(path, header, ["digest"]) as records:
        assert list(records.done) == ["1"]
        records.note({"later": 1})
        records.add(Record(digest="2", variant=1, values={}, outcome="timeout", text="late"))
    found, points = read(path)
    assert found == {"digest": "a", "workload": "w", "later": 1}
    assert [(p.digest, p.outcome) for p in points] == [("1", "passed"), ("2", "timeout")]
    assert points[0] == record


def test_another_landscapes_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with Records(path, {"digest": "a"}, ["digest"]):
        pass
    with (
        pytest.raises(ConfigError, match="digest a, not b"),
        Records(path, {"digest": "b"}, ["digest"]),
    ):
        pass
