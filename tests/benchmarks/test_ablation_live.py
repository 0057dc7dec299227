"""Runs that are really measured: their champions, the file of them, and sharing out processors."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest

from benchmarks.ablation.live import Champion, Job, LiveRun, Slots, pack_live, unpack_live
from benchmarks.ablation.live_report import live_figure, live_lines


def run_of(seed: int, *champions: Champion, arm: str = "greedy", spent: int = 20) -> LiveRun:
    return LiveRun(arm, seed, spent, 1.0, champions)


def test_the_champion_after_so_many_evaluations() -> None:
    run = run_of(1, Champion(3, 2, 1.1), Champion(9, 8, 1.5))
    assert run.champion(2) is None
    assert [run.champion(n).number for n in (3, 8, 9, 20)] == [2, 2, 8, 8]  # type: ignore[union-attr]


def test_lines_go_by_what_was_measured_once_more() -> None:
    lucky = run_of(1, Champion(1, 0, 9.0, (1.0, 0.9, 1.1)), Champion(5, 4, 9.5, (1.2, 1.1, 1.3)))
    slow = run_of(2, Champion(1, 0, 0.5, (1.0, 0.9, 1.1)), spent=7)
    best = run_of(1, Champion(12, 9, 1.9, (2.0, 1.9, 2.1)), arm="beam")
    (greedy, beam), most = live_lines([lucky, slow, best], [4, 20], ["greedy", "mcts", "beam"])
    assert most == 2.0
    assert greedy.found[4].value == 1.0
    assert greedy.found[20].value == pytest.approx(1.1)
    assert math.isinf(greedy.near.value)
    assert greedy.ended == 1
    assert beam.found[4].value == 0.0
    assert beam.near.value == 12
    (beam,), _ = live_lines([best], [4, 11], ["beam"])
    assert math.isinf(beam.near.value)


def test_the_figure_has_a_line_for_each_arm_that_ran() -> None:
    runs = [run_of(1, Champion(2, 1, 1.5)), run_of(2, Champion(4, 3, 3.0))]
    text = live_figure(runs, ["greedy", "beam"], 20)
    assert text.count("<polyline") == 1
    assert "greedy" in text
    assert "beam" not in text


def test_a_file_of_runs_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "live.json"
    path.write_text(pack_live(tmp_path, {"budgets": [4]}))
    assert unpack_live(path) == ({"budgets": [4]}, [])
    champions = [
        {"at": 1, "number": 0, "estimate": 1.5, "measured": [1.4, 1.3, 1.5]},
        {"at": 2, "number": 1, "estimate": 1.6, "measured": None},
    ]
    run = {"arm": "beam", "seed": 3, "spent": 9, "wall_s": 2.0, "champions": champions}
    path.write_text(json.dumps({"budgets": [4], "runs": [run]}))
    (read,) = unpack_live(path)[1]
    assert read.champions == (
        Champion(1, 0, 1.5, (1.4, 1.3, 1.5)),
        Champion(2, 1, 1.6),
    )


def test_jobs_run_on_their_processors_and_end_with_the_time(tmp_path: Path) -> None:
    slots = Slots(tmp_path, cores=1, deadline=time.monotonic() + 60)
    jobs = [Job(f"job{n}", ("platform",)) for n in range(3)]
    slots.run(jobs, lambda: len(list(tmp_path.glob("*.log"))))
    assert all((tmp_path / f"job{n}.log").read_text() for n in range(3))
    late = Slots(tmp_path, cores=1, deadline=time.monotonic() + 0.5)
    began = time.monotonic()
    # Serves until it is interrupted.
    late.run([Job("late", ("http.server", "0", "--bind", "127.0.0.1"))], lambda: 0)
    assert time.monotonic() - began < 15
    assert "Keyboard interrupt" in (tmp_path / "late.log").read_text()
