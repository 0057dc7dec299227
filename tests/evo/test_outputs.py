"""What a run leaves, while it goes and when it has ended."""

from __future__ import annotations

import ast
import shlex

import networkx as nx
import pytest

from evo.budget import Spent
from evo.events import Finished, Judged, Message, Resumed
from evo.finalists import measure_finalists
from evo.outputs import (
    ChampionFile,
    finish,
    plain_row,
    reproduce,
    row_of,
    run_data,
    write_outputs,
)
from evo.tables import WorkloadRow
from evo.view import closing_lines
from fitness.report import FinalReport, WorkloadReport
from populations.errors import StoreError, WorkerDied
from populations.kernel import Kernel
from populations.outcome import Outcome, Speedup, Timing
from populations.store import Store
from tests.evo import samples, toy


@pytest.fixture
def store(tmp_path):
    with toy.create(tmp_path / "run") as made:
        yield made


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "run"


def filled(store: Store, count: int = 12) -> list[Kernel]:
    """Put a run with all its facts into a store."""
    store.set_meta("name", "conv1d")
    store.set_meta("path", "experiments/conv 1d.toml")
    store.set_meta("baselines", samples.BASELINES)
    store.set_meta("facts", {"device": "some processor", "threads": "2"})
    store.set_meta("wall_s", 12.5)
    kernels, _ = samples.history(count)
    for kernel in kernels:
        store.add_candidate(kernel.candidate)
        store.add_evaluation(kernel.number, kernel.evaluation)
    return kernels


def judged(kernel: Kernel, *, best: bool) -> Judged:
    return Judged(kernel=kernel, is_best=best, spent=Spent())


def test_a_run_that_still_goes_can_be_shown(store, directory):
    kernels = filled(store)
    with Store.open(directory, read_only=True) as reader:
        data = run_data(reader)
        files = write_outputs(reader, directory)
    assert data.reason.startswith("still running")
    assert data.champion == data.improvements[-1]
    assert data.spent.evaluations == len(kernels)
    assert data.spent.wall_s == 12.5
    assert data.spent.device_s == pytest.approx(sum(k.evaluation.device_s for k in kernels))
    assert data.reproduce == "python -m evo.run 'experiments/conv 1d.toml'"
    assert set(files) == {"champion", "report", "lineage", "store"}
    assert len(nx.read_graphml(directory / "lineage.graphml")) == len(kernels)
    ast.parse((directory / "champion.py").read_text())


def test_the_command_to_repeat_names_what_was_overridden(store):
    store.set_meta("path", "experiments/conv 1d.toml")
    store.set_meta("overrides", ['target.cuda.workloads=["fp32_b64"]', "budget.wall_s=9"])
    words = shlex.split(reproduce(store))
    assert words[3:] == [
        "experiments/conv 1d.toml",
        "--set",
        'target.cuda.workloads=["fp32_b64"]',
        "--set",
        "budget.wall_s=9",
    ]


def test_a_run_killed_at_its_beginning_can_be_shown(store, directory):
    files = write_outputs(store, directory)
    assert "champion" not in files
    data = run_data(store)
    assert (data.champion, data.kernels, data.spent.evaluations) == (None, (), 0)


def test_what_cannot_be_written_is_one_error(store, directory):
    filled(store)
    (directory / "report.html.part").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        write_outputs(store, directory)


def test_the_champions_file_follows_the_search(store, directory):
    kernels = filled(store)
    seen = toy.Recorder()
    watch = ChampionFile(store, directory, seen)
    champion = directory / "champion.py"
    passed = [kernel for kernel in kernels if kernel.passed]
    watch.notify(judged(passed[0], best=False))
    assert not champion.exists()
    watch.notify(judged(passed[0], best=True))
    assert f"# kernel: #{passed[0].number}, seed" in champion.read_text()
    watch.notify(judged(passed[1], best=True))
    assert f"# kernel: #{passed[1].number}, " in champion.read_text()
    assert "# device: some processor" in champion.read_text()
    assert len(seen.events) == 3
    assert list(directory.glob("*.part")) == []


def test_a_resumed_run_renews_the_champions_file(store, directory):
    kernels = filled(store)
    passed = [kernel.number for kernel in kernels if kernel.passed]
    watch = ChampionFile(store, directory, toy.Recorder())
    watch.notify(Resumed(kernels=kernels, improvements=passed[:2], spent=Spent()))
    assert f"# kernel: #{passed[1]}, " in (directory / "champion.py").read_text()
    (directory / "champion.py").unlink()
    watch.notify(Resumed(kernels=kernels, improvements=(), spent=Spent()))
    assert not (directory / "champion.py").exists()


def test_a_champion_that_cannot_be_written_is_told_once(store, directory):
    filled(store)
    seen = toy.Recorder()
    watch = ChampionFile(store, directory, seen)
    foreign = samples.kernel(0, 2.0, source="import fitness.judge\n")
    for _ in range(2):
        watch.notify(judged(foreign, best=True))
    messages = [event for event in seen.events if isinstance(event, Message)]
    assert len(messages) == 1
    assert "fitness" in messages[0].text
    assert len(seen.events) == 3


def test_rows_survive_the_store():
    for speedup in (Speedup(2.0, 1.5, 2.5), None):
        row = WorkloadRow(
            workload="w",
            seed_ms=None,
            baselines_ms={"eager": 1.0},
            champion_ms=0.5,
            baseline="eager",
            speedup=speedup,
        )
        assert row_of(plain_row(row)) == row


def report(low: float) -> FinalReport:
    speedup = Speedup(low * 1.1, low, low * 1.2)
    entry = WorkloadReport(
        workload="fp32_B8",
        times_ms={"candidate": 1.0, "control": 1.0, "seed": 4.0, "eager": 2.0, "conv2d": low},
        timings=(Timing("fp32_B8", "conv2d", 1.0, low, speedup, (speedup.log,)),),
        seed=speedup,
        seed_speedup=speedup,
        control=Speedup(1.0, 0.9, 1.1),
        samples_ms={},
        facts={},
    )
    return FinalReport(Outcome.PASSED, workloads=(entry,), speedup=speedup)


class Verifier:
    """Answers `verify` from a script: kernel number -> what comes of it."""

    def __init__(self, script) -> None:
        self.script = script
        self.asked: list[int] = []

    def verify(self, candidate, *, seed, workloads):
        assert (seed.number, workloads) == (0, ("small",))
        self.asked.append(candidate.number)
        answer = self.script(candidate.number)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def searched(store):
    """A search that has come to its end, best kernels first."""
    store.set_meta("baselines", {"w": {"eager": 1.0}})
    search = toy.search(store, toy.Immediate(), evaluations=60)
    search.run(toy.seeds())
    return search


@pytest.fixture
def config(tmp_path):
    from evo.config import load_config
    from tests.evo.test_cli import TOML

    return load_config(TOML, ["search.finalists=3"])


def measured(config, searched, script):
    pool, seen = Verifier(script), toy.Recorder()
    measure_finalists(config, "cpu", pool, searched, seen)
    return pool.asked, searched.parts.store.meta("final"), seen.events


def test_the_fastest_finalist_is_champion(config, searched):
    asked, final, _ = measured(config, searched, lambda number: report(1 + number / 100))
    assert len(asked) == len(set(asked)) == 3
    assert asked[0] == searched.champion.number
    assert final["champion"] == max(asked)
    assert final["speedup"][1] == pytest.approx(1 + max(asked) / 100)
    (row,) = final["rows"]
    assert row["seed_ms"] == 4.0
    assert set(row["baselines_ms"]) == {"eager", "conv2d"}
    data = run_data(searched.parts.store)
    assert data.champion == max(asked)
    assert data.headline.low == final["speedup"][1]


def test_the_next_best_takes_the_place_of_one_that_fell(config, searched):
    fell = searched.champion.number
    wrong = FinalReport(Outcome.WRONG_VALUES, diagnostics="differs\nat 3")
    asked, final, events = measured(
        config, searched, lambda number: wrong if number == fell else report(1.5)
    )
    assert len(asked) == 4
    assert final["champion"] != fell
    assert any("fell" in event.text for event in events)
    kinds = [(e.kind, e.data["outcome"]) for e in searched.parts.store.events()]
    assert kinds.count(("verified", "wrong_values")) == 1
    told = [e.data for e in searched.parts.store.events() if e.data.get("number") == fell]
    assert told[-1]["reason"] == "differs\nat 3"
    assert any("fell: wrong_values: differs at 3" in event.text for event in events)


def test_no_champion_is_named_when_all_fell(config, searched, directory):
    wrong = FinalReport(Outcome.CHEATED, diagnostics="the clocks differ")
    asked, final, _ = measured(config, searched, lambda _: wrong)
    assert len(asked) == len([k for k in searched.parts.policy.members if k.passed])
    assert final == {"champion": None, "rows": []}
    data = run_data(searched.parts.store)
    assert data.champion is None
    assert data.headline is None
    (directory / "champion.py").write_text("the one that fell")
    assert "champion" not in write_outputs(searched.parts.store, directory)
    assert not (directory / "champion.py").exists()


def test_a_finalist_that_cannot_be_measured_is_passed_over(config, searched):
    first = searched.champion.number
    asked, final, events = measured(
        config, searched, lambda n: WorkerDied("gone") if n == first else report(1.5)
    )
    assert len(asked) == 3
    assert final["champion"] in asked[1:]
    assert any("was not measured: gone" in event.text for event in events)


def test_what_is_told_at_the_end_is_the_closing_measurement(store, directory):
    filled(store)
    best = run_data(store).champion
    store.set_meta("reason", "12 evaluations")
    store.set_meta("final", {"champion": best, "rows": [], "speedup": [9.0, 8.0, 10.0]})
    seen = toy.Recorder()
    finish(store, directory, seen)
    (finished,) = seen.events
    assert isinstance(finished, Finished)
    assert finished.champion.number == best
    assert finished.champion.evaluation.speedup == Speedup(9.0, 8.0, 10.0)
    assert finished.reason == "12 evaluations"
    assert finished.files["champion"] == str(directory / "champion.py")
    assert "9.00x" in (directory / "champion.py").read_text()


def test_a_champion_is_provisional_until_it_was_judged_again(store, directory):
    filled(store)
    seen = toy.Recorder()
    store.set_meta("reason", "interrupted")
    finish(store, directory, seen)
    champion = (directory / "champion.py").read_text()
    assert "provisional: not judged again yet" in champion
    (finished,) = seen.events
    assert finished.provisional
    assert "(provisional: not judged again yet)" in "\n".join(closing_lines(finished))
    assert "provisional" in (directory / "report.html").read_text()
    best = run_data(store).champion
    store.set_meta("final", {"champion": best, "rows": [], "speedup": [2.0, 1.9, 2.1]})
    finish(store, directory, seen)
    assert not seen.events[-1].provisional
    for text in (
        (directory / "champion.py").read_text(),
        "\n".join(closing_lines(seen.events[-1])),
        (directory / "report.html").read_text(),
    ):
        assert "provisional" not in text


def test_the_file_kept_while_a_search_runs_says_that_it_is_provisional(store, directory):
    kernels = filled(store)
    best = next(k for k in kernels if k.number == run_data(store).champion)
    became = Judged(kernel=best, is_best=True, spent=Spent())
    ChampionFile(store, directory, toy.Recorder()).notify(became)
    assert "provisional" in (directory / "champion.py").read_text()
