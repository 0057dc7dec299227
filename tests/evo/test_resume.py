"""A run that is cut anywhere goes on as if it had not been."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from evo.events import Judged, Proposed, Resumed
from populations.store import Store
from tests.evo import toy

ROOT = Path(__file__).resolve().parents[2]
COUNT = 16


class Cut(BaseException):
    """Stands for a kill: nothing of ours may catch it."""


class Cutting:
    """A store that is cut off right before or right behind one of its commits."""

    WRITES = (
        "add_candidate",
        "add_remeasurement",
        "add_evaluation",
        "add_trial",
        "add_event",
        "set_meta",
    )

    def __init__(self, store: Store, *, at: int, before: bool) -> None:
        self._store = store
        self._left = at
        self._before = before

    def __getattr__(self, name):
        method = getattr(self._store, name)
        if name not in self.WRITES:
            return method

        def write(*arguments, **options):
            self._left -= 1
            if self._left < 0 and self._before:
                raise Cut
            method(*arguments, **options)
            if self._left < 0:
                raise Cut

        return write


class Strict(toy.Immediate):
    """Refuses to judge what the store holds already."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store

    def submit(self, candidate):
        assert self._store.evaluation(candidate.number) is None, "judged twice"
        assert candidate in self._store.candidates(), "judged before it was recorded"
        return super().submit(candidate)


def session(folder, *, at=10**9, before=False, **arguments):
    """One session of a run; whether it came to its end."""
    fresh = not (folder / "run.db").exists()
    with toy.create(folder) if fresh else Store.open(folder) as store:
        cutting = Cutting(store, at=at, before=before)
        search = toy.search(cutting, Strict(store), **{"evaluations": COUNT, **arguments})
        try:
            search.run(toy.seeds())
        except Cut:
            return False
    return True


def whole(folder):
    with Store.open(folder, read_only=True) as store:
        return toy.contents(store)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    assert session(folder)
    return whole(folder)


@pytest.mark.parametrize("before", [True, False], ids=["before a commit", "behind a commit"])
def test_a_run_cut_at_any_commit_goes_on_unbroken(tmp_path, unbroken, before):
    at = 0
    while True:
        folder = tmp_path / f"{at}"
        if session(folder, at=at, before=before):
            break
        assert session(folder)
        assert whole(folder) == unbroken, f"cut at commit {at}"
        at += 1
    assert at > 2 * COUNT  # every one of them was a cut


def test_a_run_cut_many_times_goes_on_unbroken(tmp_path, unbroken):
    rng = random.Random(3)
    for number in range(6):
        folder = tmp_path / f"{number}"
        while not session(folder, at=rng.randrange(1, 20), before=rng.random() < 0.5):
            pass
        assert whole(folder) == unbroken


def test_a_run_cut_around_an_early_insertion_goes_on_unbroken(tmp_path):
    """Few kernels are left to propose towards the end: results are inserted before they are due."""

    def run(folder, **cut):
        return session(folder, parts=toy.only(toy.Newest(6)), in_flight=3, **cut)

    assert run(tmp_path / "unbroken")
    unbroken = whole(tmp_path / "unbroken")
    with Store.open(tmp_path / "unbroken", read_only=True) as store:
        assert any(event.kind == "early_insert" for event in store.events())
    at = 0
    while not run(tmp_path / f"{at}", at=at, before=False):
        assert run(tmp_path / f"{at}")
        assert whole(tmp_path / f"{at}") == unbroken, f"cut at commit {at}"
        at += 1


def test_a_larger_budget_goes_on(tmp_path, unbroken):
    for count in (1, 5, 6, 11):
        assert session(tmp_path, evaluations=count)
        assert len(whole(tmp_path)[1]) == count
    assert session(tmp_path)
    assert whole(tmp_path) == unbroken


def test_a_spent_budget_does_nothing(tmp_path, unbroken):
    assert session(tmp_path)
    with Store.open(tmp_path) as store:
        evaluator = toy.Immediate()
        search = toy.search(store, evaluator, evaluations=COUNT - 4)
        assert search.run() == f"{COUNT - 4} evaluations"
        assert not evaluator.asked
        assert len(search.lineage) == COUNT
    assert whole(tmp_path) == unbroken


def test_a_run_killed_before_its_seed_was_stored_begins_again(tmp_path, unbroken):
    toy.create(tmp_path).close()
    assert session(tmp_path)
    assert whole(tmp_path) == unbroken


def test_time_spent_before_counts(tmp_path):
    with toy.create(tmp_path) as store:
        store.set_meta("wall_s", 100.0)
        search = toy.search(store, toy.Immediate(), wall_s=50.0)
        assert search.run(toy.seeds()) == "50 s of wall time"
        assert search.spent().wall_s >= 100


def test_what_a_resumed_run_tells(tmp_path):
    assert not session(tmp_path, at=40)
    with Store.open(tmp_path) as store:
        held, pending = store.evaluations(), store.pending()
        observer = toy.Recorder()
        search = toy.search(store, toy.Immediate(), observer=observer, evaluations=COUNT)
        search.run()
    resumed = observer.events[0]
    assert isinstance(resumed, Resumed)
    numbers = [kernel.number for kernel in resumed.kernels]
    assert numbers == list(range(len(numbers)))
    assert 0 < len(numbers) <= len(held)
    assert set(resumed.improvements) <= set(numbers)
    assert resumed.spent.evaluations == len(numbers)
    # Everything else is told as in any run: nothing twice, nothing left out.
    assert numbers + observer.judged == list(range(COUNT))
    proposed = [e.candidate.number for e in observer.events if isinstance(e, Proposed)]
    assert (
        proposed == [*(c.number for c in pending), *range(max(held) + 1, COUNT)][-len(proposed) :]
    )
    champions = [e.kernel.number for e in observer.events if isinstance(e, Judged) and e.is_best]
    assert all(number > max(numbers) for number in champions)


def test_kill_9_at_ten_moments(tmp_path):
    evaluations = 220
    command = [sys.executable, "-m", "tests.evo.toy", str(tmp_path / "run"), "10", str(evaluations)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 10
    with toy.create(tmp_path / "unbroken") as store:
        toy.search(store, toy.Immediate(), evaluations=evaluations).run(toy.seeds())
    assert whole(tmp_path / "run") == whole(tmp_path / "unbroken")
    # Asked for again: only what was under evaluation when a session was killed.
    asked = [int(line) for line in (tmp_path / "run/asked.log").read_text().split()]
    assert set(asked) == set(range(1, evaluations))
    assert len(asked) - len(set(asked)) <= 10 * 4
