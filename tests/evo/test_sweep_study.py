"""The study of a sweep: exactly its trials, each for one worker, none lost with a worker."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from evo.sweeps import study as module
from evo.sweeps.report import page
from evo.sweeps.runs import Failed, Result, Runs
from evo.sweeps.settings import load_sweep
from evo.sweeps.study import Trials, hidden
from evo.sweeps.worker import work
from populations.errors import ConfigError, StoreError
from tests.evo.test_cli import DATA

KEYS = (
    '"search.selection" = ["tournament", "random"]\n"search.tournament" = { low = 1, high = 4 }\n'
)


@pytest.fixture
def sweep(tmp_path):
    def made(head: str = "trials = 5\nseeds = 3\n", keys: str = KEYS):
        file = tmp_path / "it.toml"
        text = f'[sweep]\nexperiment = "{DATA / "scale.toml"}"\n{head}[sweep.parameters]\n{keys}'
        file.write_text(text)
        return load_sweep(file)

    return made


@pytest.fixture(params=["sqlite", "journal"])
def storage(request, tmp_path):
    return {"sqlite": "", "journal": f"journal://{tmp_path / 'study.log'}"}[request.param]


def journal(folder):
    return f"journal://{folder / 'study.log'}"


class Computed(Runs):
    """Runs whose result is a function of point and seed."""

    def run(self, point, seed, *, alive):
        alive()
        if point.get("search.tournament") == 4:
            raise Failed("the last words")
        log = 0.1 * point.get("search.tournament", 0) + 0.01 * seed
        log += 0.3 * (point.get("search.selection") == "tournament")
        reached = None if log < 0.4 else 10 + seed
        return Result(seed, log, 20, reached, wall_s=2.0, device_s=0.5)


def finish(asked, folder, *, storage=None):
    """All of it; in a journal, which is quicker than a database."""
    lines = []
    trials = Trials(asked, folder, storage=journal(folder) if storage is None else storage)
    work(trials, Computed(asked, folder), lines.append)
    return trials, lines


def told(trials):
    return [(t.state, t.params, t.values, t.intermediate_values) for t in trials.all()]


def test_there_are_exactly_as_many_trials_as_asked_for(sweep, tmp_path, storage):
    trials, lines = finish(sweep(), tmp_path, storage=storage)
    assert [t.number for t in trials.all()] == [0, 1, 2, 3, 4]
    assert all(t.state.is_finished() for t in trials.all())
    assert lines[-1].endswith("5 of 5 trials ended") or "failed" in lines[-1]
    # Coming back finds nothing to do, and more trials only add to what is there.
    before = told(trials)
    assert told(finish(sweep(), tmp_path, storage=storage)[0]) == before
    more, _ = finish(sweep("trials = 7\nseeds = 3\n"), tmp_path, storage=storage)
    assert told(more)[:5] == before
    assert len(told(more)) == 7


def test_a_trial_keeps_its_runs(sweep, tmp_path, storage):
    trials, _ = finish(sweep(), tmp_path, storage=storage)
    complete = [t for t in trials.all() if t.state is TrialState.COMPLETE]
    assert complete
    for trial in complete:
        assert trial.value == pytest.approx(trial.intermediate_values[2])
        assert list(trial.intermediate_values) == [1, 2, 3]
        assert set(trial.user_attrs["values"]) == {"1", "2", "3"}
        assert trial.user_attrs["wall_s"] == 6.0
        assert trial.user_attrs["evaluations"] == {"1": 20, "2": 20, "3": 20}


def test_a_run_that_fails_fails_its_trial_alone(sweep, tmp_path):
    asked = sweep('sampler = "grid"\nprune = 0.0\n', '"search.tournament" = [1, 4, 2]\n')
    trials, lines = finish(asked, tmp_path)
    states = [t.state.name for t in trials.all()]
    assert states == ["COMPLETE", "FAIL", "COMPLETE"]
    assert "trial 1, seed 1: failed: the last words" in lines
    assert trials.all()[1].user_attrs["error"] == "seed 1: the last words"
    assert "- trial 1, `search.tournament=4`: seed 1: the last words" in page(trials)


def test_a_grid_is_taken_point_by_point(sweep, tmp_path, storage):
    keys = KEYS.replace("high = 4 }", 'high = 3, when = { "search.selection" = ["tournament"] } }')
    trials, _ = finish(sweep('sampler = "grid"\nprune = 0.0\n', keys), tmp_path, storage=storage)
    assert [t.params for t in trials.all()] == [
        {"search.selection": "tournament", "search.tournament": 1},
        {"search.selection": "tournament", "search.tournament": 2},
        {"search.selection": "tournament", "search.tournament": 3},
        {"search.selection": "random"},
    ]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_same_sweep_chooses_the_same_points(sweep, tmp_path, sampler):
    asked = sweep(f'sampler = "{sampler}"\ntrials = 8\nseeds = 1\n')
    once, again = tmp_path / "a", tmp_path / "b"
    for folder in (once, again):
        folder.mkdir()
        finish(asked, folder)
    points = [
        [t.params for t in Trials(asked, folder, storage=journal(folder)).all()]
        for folder in (once, again)
    ]
    assert points[0] == points[1]
    assert len({json.dumps(p) for p in points[0]}) > 2


def test_what_is_hopeless_is_given_up(sweep, tmp_path, storage):
    asked = sweep('sampler = "grid"\nseeds = 8\n', '"search.tournament" = [3, 1, 2]\n')
    trials, lines = finish(asked, tmp_path, storage=storage)
    best, worst, middle = trials.all()
    assert (best.state, worst.state, middle.state) == (
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.PRUNED,
    )
    assert list(worst.intermediate_values) == [1, 2, 3]
    assert any("trial 1: given up after 3 runs" in line for line in lines)
    never = sweep('sampler = "grid"\nseeds = 8\nprune = 0.0\n', '"search.tournament" = [3, 1]\n')
    folder = tmp_path / "never"
    folder.mkdir()
    assert {t.state for t in finish(never, folder)[0].all()} == {TrialState.COMPLETE}


def test_fewer_evaluations_to_a_target_are_better(sweep, tmp_path):
    asked = sweep(
        'sampler = "grid"\nseeds = 3\nmetric = "evaluations"\ntarget = 1.5\nprune = 0.0\n',
        '"search.tournament" = [1, 2]\n"search.selection" = ["random", "tournament"]\n',
    )
    trials, _ = finish(asked, tmp_path)
    # A target that was never reached counts as one evaluation more than there were.
    assert [t.value for t in trials.all()] == [21.0, 11.0 + 1.0, 21.0, 12.0]
    assert trials.study.best_trial.value == 12.0
    text = page(trials)
    assert "evaluations until a champion had 1.5x, fewer is better" in text
    assert "12 [11, 13] over 3 seeds" in text


def test_workers_share_the_trials(sweep, tmp_path, storage):
    asked = sweep('sampler = "random"\ntrials = 9\nseeds = 1\n')
    Trials(asked, tmp_path, storage=storage)
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from evo.sweeps.settings import load_sweep\n"
        "from evo.sweeps.study import Trials\n"
        "asked = load_sweep(Path(sys.argv[1]))\n"
        "trials = Trials(asked, Path(sys.argv[2]), storage=sys.argv[3])\n"
        "while (trial := trials.claim()) is not None:\n"
        "    trials.point(trial)\n"
        "    print(trial.number, flush=True)\n"
        "    trials.tell(trial, 'complete', {}, value=1.0)\n"
    )
    command = [sys.executable, "-c", script, str(asked.path), str(tmp_path), storage]
    with ThreadPoolExecutor(3) as pool:
        done = list(
            pool.map(
                lambda _: subprocess.run(command, capture_output=True, text=True, check=True),
                range(3),
            )
        )
    taken = [int(line) for each in done for line in each.stdout.split()]
    assert sorted(taken) == list(range(9))


def test_a_trial_of_a_dead_worker_waits_again_with_what_it_had(
    sweep, tmp_path, storage, monkeypatch
):
    asked = sweep('sampler = "random"\ntrials = 2\nseeds = 3\n')
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from evo.sweeps.settings import load_sweep\n"
        "from evo.sweeps.study import Trials\n"
        "asked = load_sweep(Path(sys.argv[1]))\n"
        "trials = Trials(asked, Path(sys.argv[2]), storage=sys.argv[3])\n"
        "trial = trials.claim()\n"
        "print(trials.point(trial)['search.tournament'], flush=True)\n"
        "trials.report(trial, 1, 0.5)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", script, str(asked.path), str(tmp_path), storage]
    dead = subprocess.run(command, capture_output=True, text=True, check=False)
    assert dead.returncode == -9, dead.stderr
    trials = Trials(asked, tmp_path, storage=storage)
    monkeypatch.setattr(module, "_FRESH_S", 0.0)
    trial = trials.claim()
    assert trial.number == 0
    assert trials.point(trial)["search.tournament"] == int(dead.stdout)
    assert trials.all()[0].intermediate_values == {1: 0.5}
    # Ours now: nobody else may have it, and the other trial is the next.
    assert trials.claim().number == 1
    assert trials.claim() is None
    trials.give_back(trial)
    assert trials.claim().number == 0


def test_a_worker_far_away_is_believed_for_a_while(sweep, tmp_path, monkeypatch):
    trials = Trials(sweep("trials = 1\nseeds = 1\n"), tmp_path)
    monkeypatch.setattr(module, "_FRESH_S", 0.0)
    monkeypatch.setattr(module, "whoami", lambda: {"machine": "far", "pid": 1, "began": 1})
    assert trials.claim().number == 0
    monkeypatch.undo()
    monkeypatch.setattr(module, "_FRESH_S", 0.0)
    assert trials.claim() is None
    monkeypatch.setattr(module, "_GRACE_S", 0.0)
    assert trials.claim().number == 0


def test_who_has_just_claimed_a_trial_need_not_have_said_so(sweep, tmp_path):
    trials = Trials(sweep("trials = 1\nseeds = 1\n"), tmp_path)
    trial_id = trials._trial_id(0)
    assert trials._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
    assert trials.claim() is None


def test_signs_of_life_are_given_now_and_then(sweep, tmp_path, monkeypatch):
    trials = Trials(sweep("trials = 1\nseeds = 1\n"), tmp_path)
    trial = trials.claim()

    def beat():
        return trials._storage.get_trial(trials._trial_id(0)).system_attrs["evo:alive_unix_s"]

    first = beat()
    trials.alive(trial)
    assert beat() == first
    monkeypatch.setattr(module, "_BEAT_S", 0.0)
    time.sleep(0.01)
    trials.alive(trial)
    assert beat() > first


def test_a_trial_that_another_has_ended_stays_as_it_is(sweep, tmp_path):
    trials = Trials(sweep("trials = 1\nseeds = 1\n"), tmp_path)
    trial = trials.claim()
    trials.tell(trial, "complete", {"a": 1}, value=1.0)
    trials.report(trial, 1, 5.0)
    trials.tell(trial, "fail", {"a": 2})
    trials.give_back(trial)
    (frozen,) = trials.all()
    assert (frozen.state, frozen.value, frozen.user_attrs) == (TrialState.COMPLETE, 1.0, {"a": 1})


def test_another_sweeps_study_is_refused(sweep, tmp_path, storage):
    Trials(sweep(), tmp_path, storage=storage)
    with pytest.raises(StoreError, match="belongs to another sweep"):
        Trials(sweep("trials = 5\nseeds = 4\n"), tmp_path, storage=storage)


def test_a_study_is_a_plain_one_of_optunas(sweep, tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    finish(sweep("trials = 2\nseeds = 1\n"), tmp_path, storage="")
    assert optuna.get_all_study_names(url) == ["it"]
    study = optuna.load_study(study_name="it", storage=url)
    assert study.best_value == max(t.value for t in study.trials if t.value is not None)
    assert study.direction is optuna.study.StudyDirection.MAXIMIZE


@pytest.mark.parametrize(
    ("url", "error", "complaint"),
    [
        ("nonsense", ConfigError, "nonsense: no storage of Optuna's"),
        ("mysql://me:secret@host/x", ConfigError, "mysql://me:***@host/x: its driver is not"),
        ("sqlite:////no/such/folder/x.db", StoreError, "unable to open database file"),
        ("journal:///no/such/folder/x", StoreError, "No such file or directory"),
    ],
)
def test_storages_that_cannot_be_used(sweep, monkeypatch, url, error, complaint):
    monkeypatch.setattr(module, "_BETWEEN_TRIES_S", 0.0)
    with pytest.raises(error) as caught:
        Trials(sweep(), Path(), storage=url)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("postgresql://u:p@w@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("journal:///a", "journal:///a"),
    ],
)
def test_passwords_are_not_shown(url, shown):
    assert hidden(url) == shown


def test_the_page(sweep, tmp_path):
    asked = sweep(
        'sampler = "grid"\nseeds = 4\nprune = 0.0\n',
        '"search.selection" = ["tournament", "random"]\n"search.tournament" = [1, 2, 3]\n',
    )
    trials = Trials(asked, tmp_path, storage=journal(tmp_path))
    assert "No trial is complete yet." in page(trials)
    work(trials, Computed(asked, tmp_path), lambda _: None)
    text = page(trials)
    assert "trials: 6, 6 complete; sampler grid" in text
    assert "spent: 0:48 of searching, 0:12 of device time" in text
    best = math.exp(0.3 + 0.3 + 0.025)
    assert f"`search.selection=tournament search.tournament=3`: {best:.2f}x [1.84, 1.90]" in text
    assert "--set 'search.selection=\"tournament\"' --set search.tournament=3" in text
    assert "| search.selection | trials | runs | typical" in text
    # 0.3 on the logarithm, whatever the seeds.
    assert "| random           | 3      | 12   |" in text
    assert "0.74x [" in text
    assert 98 <= sum(map(int, re.findall(r"\| (\d+)% ", text))) <= 102
    assert page(trials) == text


def test_processes_are_told_from_later_ones_of_their_number():
    assert module._began(os.getpid()) == module.whoami()["began"]
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    try:
        while module._began(child.pid) is not None:  # a zombie is no worker
            time.sleep(0.01)
    finally:
        child.wait()
    assert module._began(child.pid) is None


def test_a_point_has_one_directory(sweep, tmp_path):
    runs = Runs(sweep(), tmp_path)
    here = runs.point({"a.b": 1, "c.d": "x"})
    assert here == Runs(sweep(), tmp_path).point({"a.b": 1, "c.d": "x"})
    assert here != runs.point({"a.b": 1, "c.d": "y"})
    assert here.parent == Path(tmp_path / "points")


def test_keys_that_do_not_always_count(sweep, tmp_path):
    when = 'when = { "search.selection" = ["tournament"] }'
    asked = sweep(
        "trials = 12\nseeds = 2\nprune = 0.0\n",
        '"search.selection" = ["tournament", "random"]\n'
        f'"search.tournament" = {{ low = 1, high = 3, {when} }}\n',
    )
    trials, _ = finish(asked, tmp_path)
    for trial in trials.all():
        counts = trial.params["search.selection"] == "tournament"
        assert ("search.tournament" in trial.params) is counts
    assert {t.params["search.selection"] for t in trials.all()} == {"tournament", "random"}
    text = page(trials)
    assert "Not every trial had search.tournament, which is left out here." in text
    assert "## search.tournament" in text
