"""Runs over a tiny table, the numbers made of them, the figure."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.ablation import __main__ as command
from benchmarks.ablation.arms import ARMS, DEFAULT, ENDS, SERIAL, tables
from benchmarks.ablation.figure import figure
from benchmarks.ablation.pool import each
from benchmarks.ablation.report import _summary
from benchmarks.ablation.results import (
    Interval,
    Line,
    append,
    curve,
    first_near,
    interval,
    lines,
    merged,
    pack,
    read,
    seeds_of,
    unpack,
)
from benchmarks.ablation.runs import Run, Task, run
from fitness.landscape.table import load
from populations.errors import WorkerError
from populations.outcome import Outcome
from tests.fitness.landscape.test_table import GOLDEN

TABLE = load(GOLDEN)


def task(arm: str, seed: int = 1, evaluations: int = 16) -> Task:
    return Task(GOLDEN, arm, seed, evaluations)


def same(one: Run, two: Run) -> bool:
    return replace(one, wall_s=0.0) == replace(two, wall_s=0.0)


@pytest.mark.parametrize("arm", ["population", "islands", "remeasure", *ENDS])
def test_a_run_is_the_same_again_and_names_rows_that_passed(arm: str) -> None:
    found = run(task(arm))
    assert same(run(task(arm)), found)
    assert found.spent == 16
    assert found.ended == ""
    assert found.champions[0] == (1, TABLE.seed)
    assert all(TABLE.outcome(row) is Outcome.PASSED for _, row in found.champions)
    places = [at for at, _ in found.champions]
    assert places == sorted(places)
    assert not same(run(task(arm, seed=2)), found)


@pytest.mark.parametrize("arm", ["population", "mcts", "greedy"])
def test_a_smaller_budget_is_the_beginning_of_a_larger_one(arm: str) -> None:
    large, small = run(task(arm, evaluations=18)), run(task(arm, evaluations=9))
    assert small.champions == tuple(c for c in large.champions if c[0] <= 9)


def test_drawing_without_repetition_ends_with_the_table() -> None:
    found = run(task("exhaustive", evaluations=100))
    assert found.spent == len(TABLE)
    assert found.ended == "every point was measured"
    assert run(task("sampling", evaluations=100)).spent == 100


def made(champions: tuple[tuple[int, int], ...], arm: str = "population", seed: int = 1) -> Run:
    return Run("tiny", arm, seed, 10, 10, champions, "", "f", 1.0)


def test_curves_are_of_the_truth() -> None:
    best = math.exp(TABLE.true_log_speedup[TABLE.best])
    seed = math.exp(TABLE.true_log_speedup[TABLE.seed])
    found = made(((2, TABLE.seed), (5, TABLE.best)))
    assert curve(found, TABLE, 6) == pytest.approx([0, seed, seed, seed, best, best])
    assert first_near(found, TABLE) == 5
    assert first_near(made(((1, TABLE.seed),)), TABLE) == math.inf


def test_runs_that_did_not_get_there_count() -> None:
    runs = [made(((1, TABLE.seed), (at, TABLE.best)), seed=at) for at in (3, 4, 5)]
    runs += [made(((1, TABLE.seed),), seed=n) for n in (6, 7)]
    (line,) = lines(runs, TABLE, [4, 10])
    assert (line.reached, line.seeds) == (3, 5)
    assert line.near.value == 5
    assert line.near.high == math.inf
    assert line.found[10].value == pytest.approx(math.exp(TABLE.true_log_speedup[TABLE.best]))
    assert line.found[4].value == pytest.approx(math.exp(TABLE.true_log_speedup[TABLE.seed]))


def test_the_interval_holds_the_median_and_narrows() -> None:
    few, many = interval([1.0, 2.0, 3.0, 4.0]), interval([1.0, 2.0, 3.0, 4.0] * 30)
    assert few.low <= few.value <= few.high
    assert many.high - many.low < few.high - few.low
    assert interval([2.0] * 5).low == interval([2.0] * 5).high == 2.0


def test_the_file_survives_a_kill_and_is_kept_in_order(tmp_path: Path) -> None:
    file, one, two = tmp_path / "runs.jsonl", made(((1, 0),), seed=2), made(((1, 0), (3, 4)))
    append(file, one)
    with file.open("a") as cut:
        cut.write('{"landscape":"ti')
    append(file, two)
    assert read(file) == [one, two]
    kept = tmp_path / "kept.json"
    kept.write_text(pack([one, two], {"seeds": 2}))
    assert unpack(kept) == ({"seeds": 2}, [two, one])


def test_the_figure_is_drawn_with_a_label_for_each_line() -> None:
    curves = {f"<{n}>": [0.1 * k / (n + 1) for k in range(1, 11)] for n in range(9)}
    root = ET.fromstring(figure("a & b", curves))
    space = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in root.iter(f"{space}text")]
    assert {"a & b", *curves} <= set(texts)
    places = sorted(float(e.attrib["y"]) for e in root.iter(f"{space}text") if e.text in curves)
    assert min(b - a for a, b in pairwise(places)) >= 14
    assert len(list(root.iter(f"{space}polyline"))) == 9


def test_every_arm_is_an_experiment() -> None:
    fingerprints = {arm: task(arm).config.fingerprint() for arm in ARMS if arm not in ENDS}
    # One of them is the default.
    assert len(set(fingerprints.values())) == len(fingerprints)


def test_runs_of_one_search_are_kept_once_the_new_one() -> None:
    old, new = made(((1, 0),)), made(((1, 0), (2, 3)))
    other = made(((1, 0),), arm="greedy", seed=2)
    assert merged([old, other], [new]) == [new, other]
    assert seeds_of([old, other, replace(old, seed=2)]) == 1
    assert seeds_of([]) == 0


def test_one_run_that_fails_is_not_the_end_of_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    found = each(math.sqrt, [4.0, -1.0, 9.0], jobs=1)
    assert {next(found), next(found)} == {2.0, 3.0}
    with pytest.raises(WorkerError, match="1 of 3 runs"):
        next(found)
    told = capfd.readouterr()
    assert "ValueError" in told.err
    assert "3/3" in told.out


def test_one_arm_alone_leaves_what_is_kept_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, file = tmp_path / "kept.json", tmp_path / "runs.jsonl"
    stale = replace(made(((1, 0),), arm="greedy"), landscape="conv1d_cpu", fingerprint="other")
    known = Task(tables()["conv1d_cpu"], "exhaustive", 1, 10)
    good = replace(stale, arm="exhaustive", fingerprint=known.config.fingerprint())
    kept.write_text(pack([stale, good], {"seeds": 1, "evaluations": 10}))
    monkeypatch.setattr(command, "KEPT", kept)
    monkeypatch.setattr(command, "each", lambda f, tasks, **_: map(f, tasks))
    monkeypatch.setattr(command, "_told", lambda: 0)
    some = ["--landscapes", "conv1d_cpu", "--seeds", "1", "--evaluations", "10"]
    some += ["--file", str(file), "--arms"]
    assert command.main(["run", *some, SERIAL, "exhaustive"]) == 0
    about, runs = unpack(kept)
    # What is kept of another table or experiment is no run of this one.
    assert [run.arm for run in runs] == ["exhaustive", SERIAL]
    assert runs[0] == good
    assert [run.arm for run in read(file)] == [SERIAL]
    assert about["seeds"] == 1
    assert command.main(["run", *some, "exhaustive", "--anew"]) == 0
    assert unpack(kept)[1][0].champions != good.champions


def test_one_at_a_time_knows_every_result_before_it() -> None:
    assert run(task(SERIAL)).champions != run(task(DEFAULT)).champions


def test_one_at_a_time_is_told_beside_the_policies() -> None:
    def line(arm: str, near: float, found: float) -> Line:
        spread = Interval(near, near, near)
        return Line(arm, 1, {10: Interval(found, found, found)}, spread, 1, 0, 1.0)

    every = [line(DEFAULT, 9, 1.0), line("greedy", 8, 1.1), line(SERIAL, 3, 2.0)]
    text = _summary({"tiny": every, "lone": every[2:]})
    assert "greedy has found most (1.100x)" in text
    assert "Soonest within 5% is greedy" in text
    assert "the default: 9 [9, 9], one at a time: 3 [3, 3];" in text
    assert "lone" not in text
