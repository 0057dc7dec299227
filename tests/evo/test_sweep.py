"""Sweeps as a person meets them: several workers, killed and taken up again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import optuna
import pytest

from evo.sweep import main
from evo.sweeps.runs import Failed, Runs
from evo.sweeps.settings import load_sweep
from populations.store import Store
from tests.evo.test_cli import DATA, ROOT, evo

TEXT = f"""\
[sweep]
experiment = "{DATA / "scale.toml"}"
sampler = "grid"
seeds = 1
prune = 0.0

[sweep.set]
"budget.evaluations" = 20
"evaluation.timing_budget_s" = 0.04

[sweep.parameters]
"operators.tune" = [0.1, 0.5, 1.0]
"""
PROGRAM = ("-m", "tests.evo.toy_run")
# The workers import what is called `__main__` anew; a text on the command line has no file.
MAIN = f"""
import sys
from evo.sweep import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], program={PROGRAM}))
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "it.toml").write_text(TEXT)
    (tmp_path / "go.py").write_text(MAIN)
    return tmp_path


def begin(place: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "go.py", "it.toml", "--dir", "sweep", *words],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def trials_of(place: Path, url: str = "") -> list[optuna.trial.FrozenTrial]:
    """What the study holds; nothing before a run has begun."""
    if not starts(place):
        return []
    storage = optuna.storages.RDBStorage(url or f"sqlite:///{place / 'sweep/study.db'}")
    try:
        return optuna.load_study(study_name="it", storage=storage).trials
    finally:
        storage.remove_session()
        storage.engine.dispose()


def ended(trials) -> dict[int, tuple]:
    return {t.number: (t.values, t.datetime_complete) for t in trials if t.state.is_finished()}


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The sweep's own processes: its children that are neither runs nor helpers of Python's."""
    tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in tasks if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def runs_of(place: Path) -> list[Path]:
    """Every run's directory."""
    return list(place.glob("sweep/points/*/seed-*"))


def starts(place: Path) -> list[list[str]]:
    file = place / "sweep/starts.log"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def wait_for(condition, *, limit_s: float = 120.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def recorded(place: Path) -> set[str]:
    """The runs that have ended and whose result is written."""
    found = place.glob("sweep/points/*/*/result.json")
    return {f"{file.parents[1].name} {file.parent.name}" for file in found}


def check_whole(place: Path, trials, *, runs: int, before: Collection[str] = ()) -> None:
    """All there, and nothing that was recorded `before` a kill done again."""
    assert {t.state.name for t in trials} == {"COMPLETE"}
    assert [t.params["operators.tune"] for t in trials] == [0.1, 0.5, 1.0][: len(trials)]
    assert len(list((place / "sweep/points").glob("*/*/result.json"))) == runs
    whole = Counter((place / "sweep/ends.log").read_text().splitlines())
    assert {whole[name] for name in before} <= {1}
    assert len(whole) == runs
    # A kill between a run's end and the note of it costs that run's end again, and no more.
    assert whole.total() <= runs + (2 if before else 0)


def test_killed_workers_and_sweeps_lose_nothing(place):
    (place / "it.toml").write_text(TEXT.replace("seeds = 1", "seeds = 2"))
    process = begin(place, "--workers", "2")
    try:
        wait_for(lambda: len(starts(place)) >= 2 and len(workers_of(process)) == 2)
        os.kill(workers_of(process)[0], signal.SIGKILL)
        # The other one goes on; then everything is killed at once.
        wait_for(lambda: ended(trials_of(place)))
        wait_for(lambda: not all((d / "result.json").exists() for d in runs_of(place)))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    before = ended(trials_of(place))
    assert 0 < len(before) < 3
    finished = recorded(place)
    done = {f: f.stat().st_mtime_ns for f in place.glob("sweep/points/*/*/result.json")}
    stored = {
        (run.parent.name, run.name)
        for run in runs_of(place)
        if run / "result.json" not in done and Store.begun(run)
    }
    process = begin(place, "--workers", "2")
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 0, out
    trials = trials_of(place)
    check_whole(place, trials, runs=6, before=finished)
    assert {number: told for number, told in ended(trials).items() if number in before} == before
    assert {f: f.stat().st_mtime_ns for f in done} == done
    # What was under way and had stored something was resumed and not begun anew.
    resumed = {tuple(start[:2]) for start in starts(place) if start[2] == "True"}
    assert stored <= resumed
    assert "3 complete" in (place / "sweep/report.md").read_text()
    assert "report     sweep/report.md" in out


def test_two_commands_join_one_sweep(place):
    (place / "it.toml").write_text(TEXT.replace(", 1.0]", "]"))
    processes = [begin(place), begin(place)]
    outs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outs
    check_whole(place, trials_of(place), runs=2)
    assert sum(out.count("after 20 evaluations") for out in outs) == 2


def test_ctrl_c_ends_in_good_order(place):
    (place / "it.toml").write_text(TEXT.replace("0.1, 0.5, 1.0]", "0.1]"))
    process = begin(place)
    wait_for(lambda: any(place.glob("sweep/points/*/*/run.db")))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 130, out
    assert out.endswith("evo: interrupted\n")
    assert [t.state.name for t in trials_of(place)] == ["WAITING"]
    begin(place).communicate(timeout=200)
    check_whole(place, trials_of(place), runs=1)
    assert [start[2] for start in starts(place)].count("True") <= 1


def test_a_run_that_fails_is_tried_twice(place):
    (place / "it.toml").write_text(TEXT.replace("[0.1, 0.5, 1.0]", "[200.0]"))
    process = begin(place)
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 1, out
    assert "trial 0, seed 1: failed: the tuning is out of order" in out
    assert len(starts(place)) == 2


def test_the_report_alone_runs_nothing(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    assert main(["it.toml", "--report"]) == 2
    assert "runs/sweep-it: there is no sweep" in capsys.readouterr().err
    (place / "runs/sweep-it").mkdir(parents=True)
    assert main(["it.toml", "--report"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert "3 waiting" in out
    assert not (place / "runs/sweep-it/points").exists()
    assert main(["it.toml", "--workers", "0"]) == 2
    assert main(["none.toml"]) == 2


@pytest.mark.compiler
def test_a_point_is_run_by_evo_run_itself(tmp_path):
    (tmp_path / "it.toml").write_text(
        TEXT.replace("[0.1, 0.5, 1.0]", "[0.5]").replace(" = 20", " = 3")
    )
    status, out, err = evo("it.toml", cwd=tmp_path, module="evo.sweep")
    assert (status, err) == (0, ""), out
    assert "trial 0, seed 1: " in out
    assert "after 3 evaluations" in out
    (run,) = (tmp_path / "runs/sweep-it/points").glob("*/seed-1")
    assert {"run.db", "champion.py", "log.txt", "result.json"} <= {
        file.name for file in run.iterdir()
    }


def test_bad_settings_of_a_run_fail_with_its_words(tmp_path):
    (tmp_path / "it.toml").write_text(TEXT)
    runs = Runs(load_sweep(tmp_path / "it.toml"), tmp_path)
    with pytest.raises(Failed, match="unknown operator"):
        runs.run({"operators.weights.tiel": 1.0}, 1, alive=lambda: None)


@pytest.fixture
def server() -> Iterator[str]:
    """A PostgreSQL server of our own, in a folder of its own, not run by root; its URL."""
    # Not below pytest's folder, which nobody else may enter; and a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="evo-pg-"))
    who = {}
    if os.geteuid() == 0:
        names = [user.pw_name for user in pwd.getpwall()]
        who = {"user": "postgres" if "postgres" in names else "nobody"}
        shutil.chown(folder, who["user"])
    binaries = Path(shutil.which("initdb")).resolve().parent

    def call(*words: object) -> None:
        subprocess.run(
            list(map(str, words)), check=True, capture_output=True, cwd=folder, timeout=100, **who
        )

    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    data = folder / "data"
    try:
        call(binaries / "initdb", "-D", data, "-A", "trust", "-U", "evo")
        call(binaries / "pg_ctl", "-D", data, "-w", "-o", options, "-l", folder / "log", "start")
        yield f"postgresql+psycopg://evo@/postgres?host={folder}"
    finally:
        if (data / "postmaster.pid").exists():
            call(binaries / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.mark.postgres
def test_postgresql_keeps_a_sweep(place, server):
    (place / "it.toml").write_text(TEXT.replace(", 1.0]", "]"))
    process = begin(place, "--workers", "2", "--storage", server)
    wait_for(lambda: ended(trials_of(place, server)))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before, finished = ended(trials_of(place, server)), recorded(place)
    assert before
    process = begin(place, "--workers", "2", "--storage", server)
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 0, out
    trials = trials_of(place, server)
    check_whole(place, trials, runs=2, before=finished)
    assert {number: told for number, told in ended(trials).items() if number in before} == before
    assert not (place / "sweep/study.db").exists()
