"""A whole search with the real judge, on a problem that takes microseconds."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import networkx as nx
import psutil
import pytest

from evo.outputs import run_data
from populations.errors import StoreError
from populations.store import Store
from tests.evo.test_cli import DATA, ROOT, TOML, evo

pytestmark = pytest.mark.compiler
COUNT = 8


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A folder with a run that came to its end, and what the command said."""
    folder = tmp_path_factory.mktemp("ended")
    status, out, err = evo(TOML, "--set", f"budget.evaluations={COUNT}", cwd=folder)
    assert (status, err) == (0, ""), out
    return folder, out


def kernels_of(directory: Path):
    with Store.open(directory, read_only=True) as store:
        return store.kernels()


def test_a_run_leaves_its_files(ended):
    folder, out = ended
    directory = folder / "runs/scale"
    for name in ("champion.py", "report.html", "lineage.graphml", "run.db"):
        assert (directory / name).stat().st_size > 0
        assert f"runs/scale/{name}" in out
    assert "stopped: 8 evaluations" in out
    assert [k.number for k in kernels_of(directory)] == list(range(COUNT))
    graph = nx.read_graphml(directory / "lineage.graphml", node_type=int)
    assert set(graph) == set(range(COUNT))
    assert nx.is_weakly_connected(graph)
    with Store.open(directory, read_only=True) as store:
        data = run_data(store)
        assert data.speedup is not None  # measured again at the end
        assert [row.workload for row in data.table] == ["small"]
        assert data.table[0].seed_ms > 0
        assert data.spent.device_s > 0
        assert store.meta("facts")["confinement"]


def test_the_champion_computes_the_reference_alone(ended):
    """In a process that knows nothing of ours, with the reference's own parameters."""
    champion = ended[0] / "runs/scale/champion.py"
    code = f"""
import importlib.util, sys, torch
def load(path):
    spec = importlib.util.spec_from_file_location("m", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
problem, champion = load({str(DATA / "scale.py")!r}), load({str(champion)!r})
reference = problem.Model(*problem.get_init_inputs())
kernel = champion.ModelNew(*problem.get_init_inputs())
kernel.load_state_dict(reference.state_dict())
with torch.no_grad():
    for rows in (1, 16, 64):
        (x,) = problem.get_inputs(rows)
        torch.testing.assert_close(kernel(x), reference(x))
assert not {{"evo", "fitness", "operators", "populations"}} & set(sys.modules)
print("equal")
"""
    environment = {"PATH": os.environ["PATH"], "EVO_CACHE_DIR": str(ended[0] / "cache")}
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout == "equal\n", done.stderr


def test_a_run_is_replayed(ended):
    folder, _ = ended
    status, out, err = evo(TOML, "--replay", "runs/scale", "--dir", "again", cwd=folder)
    assert (status, err) == (0, ""), out
    first, second = kernels_of(folder / "runs/scale"), kernels_of(folder / "again")
    assert second == first


def test_a_champion_is_measured(ended):
    folder, _ = ended
    arguments = ["bench", "runs/scale/champion.py", "--experiment", TOML, "--pairs", "10"]
    arguments += ["--workloads", "small,wide", "--out", "raw.json"]
    status, out, _ = evo(*arguments, cwd=folder, module="evo")
    assert status == 0, out
    assert "geometric mean" in out
    raw = json.loads((folder / "raw.json").read_text())
    assert [entry["workload"] for entry in raw["workloads"]] == ["small", "wide"]
    assert all(len(entry["samples_ms"]["candidate"]) >= 10 for entry in raw["workloads"])


def test_a_wrong_kernel_is_not_measured(ended):
    arguments = ["bench", DATA / "wrong_cpp.py", "--experiment", TOML]
    status, out, _ = evo(*arguments, cwd=ended[0], module="evo")
    assert status == 1
    assert "wrong_values" in out


def test_an_experiment_is_checked(tmp_path):
    status, out, err = evo("check", TOML, cwd=tmp_path, module="evo")
    assert (status, err) == (0, "")
    lines = [line.split()[0] for line in out.splitlines()]
    assert lines == [
        "experiment",
        "device",
        "problem",
        "operators",
        "budget",
        "confinement",
        "baselines",
        "seed",
        "ready",
    ]
    assert not list(tmp_path.iterdir())


class Going:
    """A run that is going, in a session of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.directory = folder / "runs/scale"
        self._said = (folder / "said").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "evo.run", TOML, "--set", "budget.evaluations=5000", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=self._said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def until(self, evaluations: int) -> None:
        """Wait until so many evaluations are stored."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.said()
            with contextlib.suppress(StoreError), Store.open(self.directory, read_only=True) as s:
                if len(s.evaluations()) >= evaluations:
                    return
            time.sleep(0.05)
        pytest.fail(self.said())

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def wait(self) -> int:
        return self.process.wait(60)

    def said(self) -> str:
        self._said.seek(0)
        return self._said.read()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._said.close()


def gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=20)[1]


def test_a_signal_ends_a_run_in_good_order(tmp_path):
    with Going(tmp_path) as run:
        run.until(3)
        family = run.family()
        run.process.send_signal(signal.SIGTERM)
        assert run.wait() == 130
        said = run.said()
        assert gone(family)
    assert "stopped: interrupted; --resume goes on" in said
    assert "Traceback" not in said
    assert (run.directory / "champion.py").exists()
    assert (run.directory / "report.html").exists()
    with Store.open(run.directory, read_only=True) as store:
        assert len(store.kernels()) >= 3
        assert len(store.pending()) <= 4


def test_a_second_signal_ends_it_at_once(tmp_path):
    with Going(tmp_path) as run:
        run.until(2)
        family = run.family()
        run.process.send_signal(signal.SIGINT)
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 130
        assert "Traceback" not in run.said()
        assert gone(family)


def test_a_signal_before_the_search_leaves_nothing(tmp_path):
    with Going(tmp_path) as run:
        while "baseline" not in run.said():
            time.sleep(0.02)
        family = run.family()
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 130
        assert run.said().splitlines()[-1] == "evo: interrupted"
        assert not run.directory.exists()
        assert gone(family)


def test_a_killed_run_leaves_its_champion_and_goes_on(tmp_path):
    with Going(tmp_path) as run:
        run.until(3)
        # A run that still goes may be looked at.
        status, out, err = evo("report", "runs/scale", cwd=tmp_path, module="evo")
        assert (status, err) == (0, ""), out
        assert "still running" in (run.directory / "report.html").read_text()
        family = run.family()
        run.process.kill()
        run.wait()
        assert gone(family)
    ast.parse((run.directory / "champion.py").read_text())
    before = kernels_of(run.directory)
    count = max(kernel.number for kernel in before) + 3
    more = ["--resume", "--set", f"budget.evaluations={count}"]
    status, out, err = evo(TOML, *more, cwd=tmp_path)
    assert (status, err) == (0, ""), out
    kernels = kernels_of(run.directory)
    assert [k.number for k in kernels] == list(range(max(count, len(kernels))))
    assert [k for k in kernels if k in before] == before
    assert "going on from" in out
    assert "baseline small" not in out  # those of the first session hold
    status, out, _ = evo(TOML, "--replay", "runs/scale", "--dir", "again", cwd=tmp_path)
    assert status == 0, out


def test_a_failure_of_our_own_keeps_what_was_judged(tmp_path):
    with Going(tmp_path) as run:
        run.until(3)
        family = run.family()
        zygote = min(family, key=lambda process: process.create_time())
        zygote.kill()
        assert run.wait() == 1
        said = run.said()
        assert gone(family)
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("evo: ")
    assert "champion" in said
    with Store.open(run.directory, read_only=True) as store:
        assert len(store.kernels()) >= 3
        assert "a failure of our own" in store.meta("reason")
