"""The commands as a person meets them: what is refused, in which words, with what left behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path

import pytest

from evo.__main__ import COMMANDS, main
from evo.config import load_config
from evo.device import missing_for_cuda
from evo.experiment import build_search
from evo.outputs import run_data
from evo.replay import replay
from evo.signals import guarded
from populations.errors import StoreError, WorkerDied
from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation, Outcome
from populations.store import Store
from tests.evo import toy
from tests.evo.samples import passed

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).parent / "data"
TOML = DATA / "scale.toml"


def evo(*arguments: str | Path, cwd: Path, module: str = "evo.run", **environment: str):
    """Run a command as a person does; returns (exit status, output, errors)."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def place(tmp_path):
    """An empty folder to run in; whatever is refused leaves it empty."""
    folder = tmp_path / "place"
    folder.mkdir()
    yield folder
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--set", "search.populaton=3"],
            ["scale.toml", '[search] unknown key "populaton"', 'did you mean "population"?'],
        ),
        (["--set", "search.seed=yes"], ["scale.toml", "[search] seed must be a whole number"]),
        (
            ["--set", "problem.path=scael.py"],
            ["scale.toml", "[problem] path", 'did you mean "scale.py"?'],
        ),
        (
            ["--set", "seeds.cpp=scale_cp.py"],
            ["scale.toml", "[seeds] cpp", 'did you mean "scale_cpp.py"?'],
        ),
        (
            ["--set", "operators.weights.merg=2"],
            ["scale.toml", "[operators.weights]", 'did you mean "merge"?'],
        ),
        (
            ["--set", 'target.cpu.workloads=["small", "small"]'],
            ["scale.toml", "[target.cpu] workloads", "twice"],
        ),
        (["--resume"], ["runs/scale", "no run to resume"]),
        (["--replay", "nowhere"], ["there is no run at nowhere"]),
        (["--dir", "/proc/version/x"], ["/proc/version"]),
    ],
)
def test_bad_input_is_one_line_and_status_2(place, arguments, words):
    status, out, err = evo(TOML, *arguments, cwd=place)
    assert (status, out) == (2, "")
    assert err.startswith("evo: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def test_a_missing_experiment(place):
    status, out, err = evo(TOML.with_name("scael.toml"), cwd=place)
    assert (status, out) == (2, "")
    assert (
        err
        == f"evo: {TOML.with_name('scael.toml')}: no such experiment file; did you mean {TOML}?\n"
    )


def test_no_compiler(place):
    status, out, err = evo(TOML, cwd=place, CXX="/nowhere/g++")
    assert (status, out) == (2, "")
    assert err == (
        f'evo: {TOML}: [target] device = "cpu": a C++ compiler is needed, but CXX=/nowhere/g++ is '
        f"none; install g++ or set CXX to one\n"
    )


@pytest.mark.skipif(not missing_for_cuda(), reason="there is a CUDA device")
def test_no_cuda_device(place):
    status, out, err = evo(TOML, "--set", "target.device=cuda", cwd=place)
    assert (status, out) == (2, "")
    assert err.startswith(f'evo: {TOML}: [target] device = "cuda": no')
    assert 'use "auto" or "cpu"' in err


@pytest.mark.compiler
def test_no_seed_for_the_device(place, tmp_path):
    text = TOML.read_text().replace('cpp = "scale_cpp.py"', 'triton = "scale_cpp.py"')
    (tmp_path / "e.toml").write_text(text)
    for name in ("scale.py", "scale_cpp.py"):
        (tmp_path / name).write_text((DATA / name).read_text())
    status, _, err = evo(tmp_path / "e.toml", cwd=place)
    assert status == 2
    assert "[seeds] has no kernel for cpu; add one of cpp, python" in err


def test_a_directory_that_holds_a_run(tmp_path):
    directory = tmp_path / "run"
    toy.create(directory).close()
    before = sorted(directory.iterdir())
    status, out, err = evo(TOML, "--dir", directory, cwd=tmp_path)
    assert (status, out) == (2, "")
    assert err.startswith(f"evo: {directory}: holds a run already; go on with --resume")
    status, out, err = evo(TOML, "--dir", directory, "--resume", cwd=tmp_path)
    assert (status, out) == (2, "")
    assert "belongs to another experiment: " in err
    assert len(err.splitlines()) == 1
    assert sorted(directory.iterdir()) == before


@pytest.mark.compiler
def test_a_run_begun_on_another_device(tmp_path):
    config = load_config(TOML)
    directory = tmp_path / "run"
    directory.mkdir()
    with Store.create(directory, experiment=config.text, fingerprint=config.fingerprint()) as store:
        store.set_meta("target", "cuda")
    status, out, err = evo(TOML, "--dir", directory, "--resume", cwd=tmp_path)
    assert (status, out) == (2, "")
    assert "was begun on cuda" in err


@pytest.mark.compiler
def test_a_run_that_another_process_writes(tmp_path):
    config = load_config(TOML)
    directory = tmp_path / "run"
    directory.mkdir()
    with Store.create(directory, experiment=config.text, fingerprint=config.fingerprint()):
        status, out, err = evo(TOML, "--dir", directory, "--resume", cwd=tmp_path)
    assert (status, out) == (2, "")
    assert "another process is writing" in err


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("problem.path=no_inputs.py", ["no_inputs.py", "there is no get_inputs"]),
        ("seeds.cpp=wrong_cpp.py", ["wrong_cpp.py", "wrong_values", "small"]),
        ('target.cpu.final_workloads=["smal"]', ["scale.toml", 'did you mean "small"?']),
    ],
)
def test_what_only_the_judge_finds(place, override, words):
    status, _, err = evo(TOML, "--set", override, cwd=place)
    assert status == 2
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def test_every_command_has_help(capsys):
    for command in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        assert f"evo {command}" in capsys.readouterr().out


def test_an_unknown_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["rum"])
    assert ended.value.code == 2
    assert "run" in capsys.readouterr().err


def test_how_a_command_ends(capsys):
    def failing():
        raise WorkerDied("a judge failed:\n  Traceback\n  ValueError: x")

    def terminated():
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    assert guarded(lambda: 7) == 7
    assert guarded(failing) == 1
    assert capsys.readouterr().err == "evo: a judge failed: Traceback ValueError: x\n"
    assert guarded(terminated) == 130
    assert capsys.readouterr().err == "evo: interrupted\n"
    assert signal.getsignal(signal.SIGTERM) is before


def recorded(directory: Path, *, count: int, cut: int | None = None) -> None:
    """A run of the experiment over made-up measurements: of `cut` no measurement is there."""

    class Made(toy.Immediate):
        def submit(self, candidate):
            if candidate.number != cut:
                return super().submit(candidate)
            search.interrupt()
            return Future()

    config = load_config(TOML)
    directory.mkdir()
    with Store.create(directory, experiment=config.text, fingerprint=config.fingerprint()) as store:
        store.set_meta("name", "scale")
        store.set_meta("path", str(TOML))
        store.set_meta("baselines", {"fp32_B8": {"conv2d": 0.987}})
        store.set_meta("facts", {"device": "a processor", "threads": "1"})
        store.set_meta("target", "cpu")
        source = (DATA / "scale_cpp.py").read_text()
        seed = Kernel(Candidate(0, source, "cpp", note="seed"), made_up(source))
        search = build_search(
            config, "cpu", Made(), store, toy.Recorder(), limits=toy.Budget(evaluations=count)
        )
        search.run([seed])


def made_up(source: str) -> Evaluation:
    """A measurement that is a function of the source."""
    number = int(Candidate(0, source, "cpp").digest, 16)
    if number % 5 == 0:
        return Evaluation(Outcome.COMPILE_ERROR, diagnostics="no")
    return passed(0.5 + (number % 100) / 100)


@pytest.fixture
def judged_by_digest(monkeypatch):
    monkeypatch.setattr(toy, "judge", made_up)


def test_a_run_is_replayed_to_the_same_lineage(tmp_path, judged_by_digest):
    recorded(tmp_path / "run", count=25)
    status, out, err = evo(TOML, "--replay", "run", cwd=tmp_path)
    assert (status, err) == (0, ""), out
    assert "replayed: the same lineage of 25 kernels" in out
    with (
        Store.open(tmp_path / "run", read_only=True) as old,
        Store.open(tmp_path / "runs/scale-replay", read_only=True) as new,
    ):
        assert toy.contents(new) == toy.contents(old)
        assert len(new.candidates()) == 25
        assert run_data(new).champion == run_data(old).champion is not None
    names = {path.name for path in (tmp_path / "runs/scale-replay").iterdir()}
    assert {"run.db", "config.toml", "champion.py", "report.html", "lineage.graphml"} <= names
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {"run.db", "run.db.lock"}


def test_an_unfinished_run_is_replayed_as_far_as_it_goes(tmp_path, judged_by_digest):
    recorded(tmp_path / "run", count=25, cut=12)
    assert replay(load_config(TOML), tmp_path / "again", tmp_path / "run") == 0
    with Store.open(tmp_path / "again", read_only=True) as store:
        assert len(store.evaluations()) == 12
        assert store.meta("reason") == "replayed: the same lineage of 12 kernels"


def test_a_lineage_that_differs_is_told(tmp_path, judged_by_digest, capsys):
    recorded(tmp_path / "run", count=10)
    with sqlite3.connect(tmp_path / "run/run.db") as connection:
        connection.execute("UPDATE candidates SET note = 'another' WHERE number = 4")
    connection.close()
    assert replay(load_config(TOML), tmp_path / "again", tmp_path / "run") == 1
    assert "the lineage differs from the recorded one at kernel #4" in capsys.readouterr().out


def test_a_replay_of_another_experiment_is_refused(tmp_path, judged_by_digest):
    recorded(tmp_path / "run", count=3)
    config = load_config(TOML, ["search.seed=2"])
    with pytest.raises(StoreError, match="another experiment"):
        replay(config, tmp_path / "again", tmp_path / "run")
    assert not (tmp_path / "again").exists()
