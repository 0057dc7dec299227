"""The benchmarks run: a few candidates through everything, and numbers that can be."""

from __future__ import annotations

import json
import math
import os
import random
from pathlib import Path

from benchmarks import noise, rate, report, store
from benchmarks.__main__ import main
from benchmarks.tree import memory, tree


def test_a_few_candidates_are_counted_with_what_they_cost(monkeypatch, tmp_path: Path):
    # Nobody else's turn at timing is waited for.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    found = rate.measure(6)
    assert found["outcomes"] == {"passed": 6}
    assert found["rates"].keys() == {6}
    assert 0 < found["rates"][6] < 1000
    # A process was forked, confined and killed for each: that is never free.
    assert 0.001 < found["cpu_s"] < 10
    parts = found["cpu_s_by_part"]
    assert parts.keys() == {"search", "zygote", "baselines", "judges", "candidates"}
    assert sum(parts["candidates"].values()) > 0
    assert all(found["confinement"].values())
    assert 0.001 < found["python_s"] < 10
    labels = [line.what for line in report.lines({"rate": [found]})]
    assert labels[0] == "6 candidates"
    assert "  Python itself begins in" in labels


def test_the_table_and_the_file_tell_the_same(tmp_path: Path, capsys):
    file = tmp_path / "numbers.json"
    assert main(["startup", "--repeats", "1", "--json", str(file)]) == 0
    found = json.loads(file.read_text(encoding="utf-8"))
    (line,) = (row for row in capsys.readouterr().out.splitlines() if row.startswith("import"))
    assert f"{found['startup']['import']['best_s']:.3f} s" in line
    assert found["machine"]["python"]


def test_a_tree_is_its_root_and_its_descendants():
    me = os.getpid()
    assert tree(me)[me].parent == os.getppid()
    seen = memory(me)
    assert seen is not None
    assert seen.total > 10 << 20
    assert seen.processes == len(tree(me))


def test_a_kernel_against_itself_on_this_machine(tmp_path: Path, capsys):
    file = tmp_path / "numbers.json"
    options = ["--repetitions", "2", "--workloads", "8k", "--pairs", "24"]
    assert main(["aa", *options, "--json", str(file)]) == 0
    found = json.loads(file.read_text(encoding="utf-8"))["aa"]["workloads"]["8k"]
    assert len(found["speedups"]) == len(found["log_ratios"]) == 2
    assert all(low <= value <= high for value, low, high in found["speedups"])
    assert 0 <= found["coverage"] <= 1
    # As a closing measurement: twelve rounds by the same processes.
    assert found["draws"] == 2
    assert 0 <= found["odd"] <= 1
    text = capsys.readouterr().out
    assert "intervals that hold 1" in text
    # Too short for the bar.
    assert "coefficient of variation" in text
    assert "<= 3%" not in text


def test_the_bars_of_a_kernel_against_itself():
    seen = {
        "candidate_ms": 1.0,
        "coverage": 0.92,
        "false_faster": 0.005,
        "variation": 0.02,
        "half_width": 0.01,
        "do_bench_ms": 1.05,
        "draws": 5,
        "odd": 0.125,
    }
    found = {"device": "cuda", "repetitions": 200, "workloads": {"32M": seen}}
    reached = {line.what.strip(): line.reached for line in report.lines({"aa": found})}
    assert "5 a measurement, 12.5% of them off by 5%" in report.table({"aa": found})
    assert reached["intervals that hold 1"] is False
    assert reached["called faster by 1%"] is True
    assert reached["coefficient of variation"] is False
    assert reached["do_bench"] is False
    found = {**found, "device": "cpu", "workloads": {"512k": {**seen, "do_bench_ms": 0.98}}}
    reached = {line.what.strip(): line.reached for line in report.lines({"aa": found})}
    assert reached["coefficient of variation"] is reached["do_bench"] is True


def test_a_judgement_is_taken_apart_into_stages(tmp_path: Path, capsys):
    file = tmp_path / "numbers.json"
    assert main(["stages", "--repetitions", "1", "--json", str(file)]) == 0
    found = json.loads(file.read_text(encoding="utf-8"))["stages"]
    outcomes = {kind: found[kind]["outcome"] for kind in ("passed", "wrong", "refused")}
    assert outcomes == {"passed": "passed", "wrong": "wrong_values", "refused": "rejected"}
    assert found["refused"]["device_s"] == 0
    assert found["passed"]["device_s"] > found["wrong"]["device_s"] > 0
    assert "lease of one judgement" in capsys.readouterr().out


def test_a_small_store_is_grown_and_asked(tmp_path: Path, capsys):
    file = tmp_path / "numbers.json"
    assert main(["store", "--stored", "60", "--repeats", "1", "--json", str(file)]) == 0
    found = json.loads(file.read_text(encoding="utf-8"))["store"]
    assert found["ask"]["list"]["rows"] == 60
    assert 0 < found["insert"]["evaluation"]["median_s"] < 1
    assert found["source_bytes"] < found["bytes"] < 100_000
    assert "insert of a candidate" in capsys.readouterr().out


def test_grown_kernels_are_as_large_as_real_ones():
    kernels = list(store.grow(1500, random.Random(1)))
    sizes = [len(kernel.source) for kernel in kernels[300:]]
    assert min(sizes) > 2500
    assert max(sizes) < 7000
    assert {len(kernel.candidate.parents) for kernel in kernels[300:]} == {2, 3}
    assert len({kernel.candidate.digest for kernel in kernels}) == len(kernels)


def test_measuring_again_keeps_outliers_from_steering():
    """A claim about many searches, on worlds that are drawn once and for all."""
    found = noise.measure(80, 12, (0, 1))["remeasure"]
    never, once = found["0"], found["1"]
    # Many searches end on an outlier where nothing is measured again.
    assert never["steered"] >= 0.3
    assert once["steered"] <= never["steered"] / 2
    assert once["misled"] < never["misled"] / 3
    assert abs(math.log(once["believed"])) < math.log(never["believed"]) / 2
    assert never["again"] == 0 < once["again"] < 0.2
    # What is spent on it is not lost: the champion is faster in truth.
    assert once["champion"] > never["champion"]
