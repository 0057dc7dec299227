"""Measured tables, and the tuner replayed on them."""

from __future__ import annotations

import itertools
import json
import math
import random
import statistics
from pathlib import Path

import pytest

from benchmarks import report, tables, tuning
from benchmarks.__main__ import main
from populations.outcome import Outcome
from populations.parameters import parameters, values

SOURCE = "A = 1  # tune: 1, 2, 4, 8, 16\nB = 1  # tune: 1, 2, 3, 4\nC = 'x'  # tune: 'x', 'y'\n"


def log_at(point):
    a, b, c = point
    return 0.5 - 0.1 * abs(math.log2(a) - 3) - 0.05 * abs(b - 2) - 0.2 * (c == "y")


def records(noise=0.01):
    """Two measurements of each point, the second of them slower throughout; one point fails."""
    rng = random.Random(1)
    for turn, off in enumerate((0.0, -0.04)):
        for point in itertools.product(*(p.choices for p in parameters(SOURCE))):
            common = {"pass": turn, "point": point, "device_s": 0.5}
            if point == (16, 4, "x"):
                yield {**common, "outcome": "runtime_error", "text": "too large", "log_ratios": []}
                continue
            rounds = [log_at(point) + off + rng.gauss(0, noise) for _ in range(12)]
            yield {**common, "outcome": "passed", "text": "", "log_ratios": rounds}
    yield {"point": (), "quickest_ms": 2.0}
    for point in itertools.product(*(p.choices for p in parameters(SOURCE))):
        yield {"point": point, "quickest_ms": 2.0 / math.exp(log_at(point))}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "toy.json.xz"
    path.write_bytes(tables.pack({"source": SOURCE, "device": "cpu"}, list(records())))
    return path


def test_a_table_answers_as_it_was_measured(file):
    table = tables.load(file)
    assert len(table.entries) == 40
    assert table.best == pytest.approx(0.5, abs=1e-4)
    rng = random.Random(2)
    source = table.at((8, 2, "x"))
    assert values(source) == {"A": 8, "B": 2, "C": "x"}
    found = [table.judged(source, rng) for _ in range(200)]
    # Rounds lie around what the point is worth, whatever its measurements had in common.
    logs = [e.speedup.log for e in found]
    assert statistics.fmean(logs) == pytest.approx(0.5, abs=0.01)
    assert 0.01 < statistics.stdev(logs) < 0.04
    assert {len(e.timings[0].log_ratios) for e in found} == {12}
    failed = table.judged(table.at((16, 4, "x")), rng)
    assert (failed.outcome, failed.diagnostics) == (Outcome.RUNTIME_ERROR, "too large")
    assert table.log(table.at((16, 4, "x"))) == -math.inf


def test_without_quiet_rounds_the_middle_of_the_measurements_counts(tmp_path):
    path = tmp_path / "toy.json.xz"
    loud = [r for r in records(noise=1e-4) if "pass" in r]
    path.write_bytes(tables.pack({"source": SOURCE, "device": "cpu"}, loud))
    assert tables.load(path).best == pytest.approx(0.5 - 0.02, abs=1e-3)


@pytest.mark.parametrize(
    "sampler", ["random", "tpe", "expected", "elites", "neighbours", "exhaustive"]
)
def test_every_sampler_is_scored(file, sampler):
    table = tables.load(file)
    trials = 40 if sampler == "exhaustive" else 12
    kernels = tuning.tuned(table, sampler, 3, trials, in_flight=3)
    assert len({k.source for k in kernels}) == len(kernels) == trials
    assert kernels == tuning.tuned(table, sampler, 3, trials, in_flight=3)
    found = tuning.score(table, kernels, 3)
    assert 0 <= found["visited"] <= found["regret"]
    assert (found["trials_to_near"] < math.inf) == (found["visited"] <= tuning.NEAR)
    if sampler == "exhaustive":
        assert found["visited"] == 0
        assert found["regret"] < 0.06


def test_the_command_prints_and_keeps(file, tmp_path, capsys):
    kept = tmp_path / "numbers.json"
    asked = ["tuning", "--tables", str(file), "--seeds", "2", "--samplers", "random,expected"]
    assert main([*asked, "--json", str(kept)]) == 0
    found = json.loads(kept.read_text(encoding="utf-8"))["tuning"]["toy"]
    assert found["points"] == 40
    assert 0 <= found["expected"]["near_in_time"] <= 1
    text = capsys.readouterr().out
    assert "toy: the best of 40 points" in text
    assert list(report.lines({"tuning": {"toy": found}}))


def test_the_shipped_table_is_whole():
    table = tables.load(tables.FOLDER / "conv1d_blocked.json.xz")
    assert len(table.entries) == 1152
    assert all(len(e.log_ratios) >= 3 for e in table.entries.values())
    source = (tables.FOLDER / "conv1d_blocked.py").read_text(encoding="utf-8")
    assert [p.choices for p in parameters(source)] == [p.choices for p in parameters(table.source)]


def test_the_shipped_cuda_table_is_whole():
    ((name, table),) = tuning._tables([tables.FOLDER / "conv1d_tuning_h200.npz"])
    assert name.startswith("conv1d_tuning")
    assert table.device == "cuda"
    assert len(table.entries) == math.prod(len(p.choices) for p in parameters(table.source)) == 576
    failed = [e for e in table.entries.values() if not e.log_ratios]
    assert len(failed) == 48
    assert all("shared memory" in e.text for e in failed)


def test_variants_with_the_same_parameters_are_one_larger_table():
    path = Path("experiments/landscapes/conv1d_cpu.npz")
    ((name, table),) = tuning._tables([path])
    assert name == "conv1d_cpu+jam+pad+tile+vectors+any"
    marked = {p.name: p.choices for p in parameters(table.source)}
    assert len(table.entries) == math.prod(map(len, marked.values())) == 672
    variants = tables.of_landscape(path)
    alone = variants["conv1d_cpu+pad+tile+vectors+exchange+jam+taps"]
    flags = {"exchange": True, "pack": False, "taps": True}
    for point, entry in alone.entries.items():
        named = flags | dict(zip((p.name for p in parameters(alone.source)), point, strict=True))
        assert table.log(table.at(tuple(named[name] for name in marked))) == entry.log


def test_points_are_measured_once_a_turn():
    done = [r for r in records() if "pass" in r][:60]
    todo = list(tables._todo(SOURCE, done, times=2, best=0))
    assert len(todo) == 2 * 40 - 60
    assert len(set(todo)) == len(todo)
    best = list(tables._todo(SOURCE, done, times=3, best=2))
    assert {point for _, point in best} == {(8, 2, "x"), (8, 3, "x")} or len(best) <= 6
