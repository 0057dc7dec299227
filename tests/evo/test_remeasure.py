"""Kernels that may be the best are measured again, and everything else goes on as if nothing were.

A search with noise in its measurements must stay what a search is: a function of its seed and of
what was measured, which can be cut off anywhere and grown again from its store.
"""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from evo.config import load_config
from evo.events import Judged, Proposed, Remeasured, Resumed
from evo.outputs import ChampionFile, improvements_of, run_data, write_outputs
from evo.policies import POLICIES
from evo.settings import BeamConfig, IslandsConfig, SearchConfig
from fitness.replay import Recorded
from operators.llm.fake import ScriptedAnswerer
from operators.operator import Inapplicable, Variation
from populations.kernel import Kernel
from populations.outcome import Outcome
from populations.pooling import measurements, pool
from populations.store import Store
from tests.evo import toy
from tests.evo.test_cli import TOML
from tests.evo.test_resume import Cut, Cutting
from tests.evo.test_search_models import advise, desk, parts

ROOT = Path(__file__).resolve().parents[2]
COUNT = 45
SEED = toy.seeds()[0].candidate
SMALL = SearchConfig(
    population=8,
    islands=IslandsConfig(count=2, interval=9, stagnation=9),
    beam=BeamConfig(width=3, branching=3),
)


def noisy_seeds():
    return [Kernel(seed.candidate, toy.noisy(seed.candidate)) for seed in toy.seeds()]


def session(
    folder,
    *,
    evaluator=None,
    policy="population",
    at=10**9,
    before=False,
    observer=None,
    **arguments,
):
    """One session of a run, cut off at a commit or not; the search when it came to its end."""
    fresh = not (folder / "run.db").exists()
    evaluator = evaluator or toy.Immediate(toy.noisy)
    with toy.create(folder) if fresh else Store.open(folder) as store:
        search = toy.search(
            Cutting(store, at=at, before=before),
            evaluator,
            observer=observer,
            parts={"policy": POLICIES[policy](replace(SMALL, policy=policy))},
            **{"evaluations": COUNT, "remeasure": 2, **arguments},
        )
        try:
            search.run(noisy_seeds())
        except Cut:
            return None
        finally:
            evaluator.close()
    return search


def whole(folder):
    with Store.open(folder, read_only=True) as store:
        again = [store.remeasurements(), store.remeasured()]
        events = [(e.kind, e.data) for e in store.events()]
        return [*toy.contents(store), *again, events]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    known = {}

    def of(policy="population"):
        if policy not in known:
            folder = tmp_path_factory.mktemp("unbroken")
            assert session(folder, policy=policy)
            known[policy] = whole(folder)
        return known[policy]

    return of


def test_the_close_ones_are_measured_again_and_count_within_the_budget(tmp_path):
    search = session(tmp_path)
    candidates, evaluations, _, again, measured, _ = whole(tmp_path)
    assert len(evaluations) + len(measured) == COUNT == search.spent().evaluations
    assert len(again) == len(measured) >= 8
    numbers = sorted([c.number for c in candidates] + [a.number for a in again])
    assert numbers == list(range(COUNT))
    counts = [[a.kernel for a in again].count(c.number) for c in candidates]
    assert max(counts) == 2
    assert counts.count(0) > len(candidates) / 3
    total = [*evaluations.values(), *measured.values()]
    assert search.spent().device_s == pytest.approx(sum(e.device_s for e in total))


def test_without_the_key_nothing_is_measured_again(tmp_path):
    session(tmp_path, remeasure=0)
    assert whole(tmp_path)[3:5] == [[], {}]


def test_what_the_search_believes_is_what_the_store_shows(tmp_path):
    search = session(tmp_path, evaluations=80)
    _, first, _, again, measured, _ = whole(tmp_path)
    with Store.open(tmp_path, read_only=True) as store:
        kernels = {kernel.number: kernel for kernel in store.kernels()}
        entries, best = store.queries.entries(), store.queries.best(5)
    assert kernels == search.lineage.kernels
    for number, kernel in kernels.items():
        runs = [first[number], *(measured[a.number] for a in again if a.kernel == number)]
        assert kernel.evaluation == pool(runs)
        if kernel.passed:
            assert measurements(kernel.evaluation) == len(runs)
    # Also who reads without the sources.
    assert [(e.number, e.outcome) for e in entries] == [
        (n, k.evaluation.outcome) for n, k in kernels.items()
    ]
    lows = {n: k.evaluation.speedup.low for n, k in kernels.items() if k.passed}
    assert {e.number: e.low for e in entries if e.passed} == lows
    assert [e.number for e in best] == sorted(lows, key=lambda n: (-lows[n], n))[:5]
    members = search.parts.policy.members
    assert all(member is search.lineage.get(member.number) for member in members)


def test_a_kernel_that_fails_when_measured_again_is_out(tmp_path):
    search = session(tmp_path, evaluations=140)
    measured = whole(tmp_path)[4]
    fallen = [n for n, e in measured.items() if not e.passed]
    assert fallen  # the noise sees to it
    members = {member.number for member in search.parts.policy.members}
    for kernel in search.lineage.kernels.values():
        if not kernel.passed:
            assert kernel.number not in members
    assert search.champion.passed


@pytest.mark.parametrize("policy", ["population", "mcts"])
@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_the_lineage_depends_on_no_clock(tmp_path, policy, in_flight):
    arguments = {"policy": policy, "in_flight": in_flight}
    session(tmp_path / "0", **arguments)
    first = whole(tmp_path / "0")
    session(tmp_path / "1", evaluator=toy.NewestFirst(toy.noisy), **arguments)
    assert whole(tmp_path / "1")[:5] == first[:5]
    delayed = toy.Delayed(toy.noisy, workers=3, delay_s=0.005, seed=1)
    session(tmp_path / "2", evaluator=delayed, **arguments)
    assert whole(tmp_path / "2")[:5] == first[:5]


@pytest.mark.parametrize("before", [True, False], ids=["before a commit", "behind a commit"])
def test_a_run_cut_at_any_commit_goes_on_unbroken(tmp_path, unbroken, before):
    at = 0
    while not session(tmp_path / f"{at}", at=at, before=before):
        assert session(tmp_path / f"{at}")
        assert whole(tmp_path / f"{at}") == unbroken(), f"cut at commit {at}"
        at += 5
    assert at > 2 * COUNT


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_every_policy_goes_on_unbroken(tmp_path, unbroken, policy):
    rng = random.Random(3)
    for number in range(2):
        folder = tmp_path / f"{number}"
        while not session(
            folder, policy=policy, at=rng.randrange(1, 30), before=rng.random() < 0.5
        ):
            pass
        assert whole(folder) == unbroken(policy)
    assert len(unbroken(policy)[4]) >= 2


def test_a_larger_budget_goes_on(tmp_path, unbroken):
    for count in (1, 5, 6, 11, 30):
        assert session(tmp_path, evaluations=count)
        done = whole(tmp_path)
        assert len(done[1]) + len(done[4]) == count
    assert session(tmp_path)
    assert whole(tmp_path)[:5] == unbroken()[:5]


def test_kill_9_at_some_moments(tmp_path):
    """As `toy.main`, with noise: the process is killed, not asked."""
    code = (
        "import sys; from concurrent.futures import Future; from tests.evo import toy; "
        "from pathlib import Path; search = toy.search; judge = toy.judge; "
        "toy.search = lambda *a, **k: search(*a, **{**k, 'remeasure': 2}); "
        "Delayed = toy.Delayed; "
        "toy.Delayed = lambda **k: Delayed(toy.noisy, **k); "
        "toy.main(Path(sys.argv[1]), 6, 150)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3
    with toy.create(tmp_path / "whole") as store:
        toy.search(store, toy.Immediate(toy.noisy), evaluations=150, remeasure=2).run(toy.seeds())
    assert whole(tmp_path / "run")[:5] == whole(tmp_path / "whole")[:5]


def test_a_resumed_run_knows_its_champion_and_tells_nothing_twice(tmp_path):
    complete = toy.Recorder()
    search = session(tmp_path / "whole", observer=complete)
    assert not session(tmp_path / "cut", at=70)
    observer = toy.Recorder()
    resumed = session(tmp_path / "cut", observer=observer)
    assert resumed.champion == search.champion
    first = observer.events[0]
    assert isinstance(first, Resumed)
    told = len([e for e in observer.events if isinstance(e, (Judged, Remeasured))])
    assert first.spent.evaluations + told == COUNT
    everything = [e for e in complete.events if isinstance(e, Remeasured)]
    later = [e for e in observer.events if isinstance(e, Remeasured)]
    assert [e.kernel for e in later] == [e.kernel for e in everything][-len(later) :]


def test_a_recorded_run_with_remeasurements_is_grown_again(tmp_path, unbroken):
    unbroken()
    session(tmp_path / "old")
    with Store.open(tmp_path / "old", read_only=True) as old:
        session(tmp_path / "new", evaluator=Recorded(old.find, old.remeasured().get))
    assert whole(tmp_path / "new") == unbroken()


class Script:
    """An operator with so many kernels to propose, each a line longer than the one before."""

    name = "front"
    arity = 1

    def __init__(self, count):
        self._left = iter(range(1, count + 1))

    def vary(self, *_):
        more = next(self._left, None)
        if more is None:
            return Inapplicable("that was all")
        return Variation(source=SEED.source + "# more\n" * more, note=f"{more}")


class Unlucky:
    """Measures by a script: kernel -> what each measurement says."""

    def __init__(self, values):
        self._values = values
        self._asked = {}

    def __call__(self, candidate):
        count = self._asked[candidate.source] = self._asked.get(candidate.source, 0) + 1
        return self._values(candidate.source.count("# more"), count)


def evaluation(value):
    judged = toy.judge(toy.SEED)
    speedup = replace(judged.speedup, value=value, low=value * 0.98, high=value * 1.02)
    return replace(judged, speedup=speedup, timings=(replace(judged.timings[0], speedup=speedup),))


def test_a_champion_that_was_lucky_gives_the_crown_back(tmp_path, monkeypatch):
    """Kernel 2 seems twice as fast; kernel 3, better than 1, comes while 2 still reigns."""
    values = {0: 1.0, 1: 1.2, 2: 1.1, 3: 1.3}

    def measured(more, count):
        return evaluation(2.4 if (more, count) == (2, 1) else values[more])

    monkeypatch.setattr(toy, "seeds", lambda: [Kernel(SEED, evaluation(1.0))])
    observer = toy.Recorder()
    with toy.create(tmp_path) as store:
        champions = ChampionFile(store, tmp_path, observer)
        store.set_meta("name", "toy")
        search = toy.search(
            store,
            toy.Immediate(Unlucky(measured)),
            observer=champions,
            in_flight=6,
            remeasure=2,
            parts={**toy.only(Script(3)), "structural": frozenset()},
        )
        search.run(toy.seeds())
        by_more = {k.source.count("# more"): n for n, k in search.lineage.kernels.items()}
        assert search.champion.number == by_more[3]
        crowned = [e.kernel.number for e in observer.events if isinstance(e, Judged) and e.is_best]
        assert by_more[2] in crowned
        assert by_more[3] not in crowned
        fell = [e for e in observer.events if isinstance(e, Remeasured) and e.is_new]
        assert fell
        assert fell[-1].champion.number == by_more[3]
        # The file, the report and a reader's own reckoning agree with the search.
        assert "# more\n# more\n# more\n" in (tmp_path / "champion.py").read_text()
        improvements = improvements_of(store.history())
        assert improvements[-1] == by_more[3]
        assert by_more[2] in improvements
        data = run_data(store)
        assert data.champion == by_more[3]
        assert data.spent.evaluations == search.spent().evaluations
        write_outputs(store, tmp_path)


def test_proposals_are_told_of_candidates_alone(tmp_path):
    observer = toy.Recorder()
    session(tmp_path, observer=observer)
    candidates, _, _, again, _, _ = whole(tmp_path)
    proposed = [e.candidate.number for e in observer.events if isinstance(e, Proposed)]
    assert proposed == [c.number for c in candidates if c.number]
    assert len([e for e in observer.events if isinstance(e, Remeasured)]) == len(again)
    spent = [e.spent.evaluations for e in observer.events if isinstance(e, (Judged, Remeasured))]
    assert spent == list(range(1, COUNT + 1))


def test_the_key_is_in_the_fingerprint_only_where_it_is_used():
    plain = load_config(TOML).fingerprint()
    assert load_config(TOML, ["search.remeasure=0"]).fingerprint() == plain
    assert load_config(TOML, ["search.remeasure=2"]).fingerprint() != plain


def test_the_noise_of_the_toy_makes_some_fail():
    outcomes = {toy.noisy(replace(SEED, number=number)).outcome for number in range(200)}
    assert outcomes == {Outcome.PASSED, Outcome.WRONG_VALUES}


@pytest.mark.parametrize("calls", [3, 6])
def test_a_search_that_asks_models_goes_on_unbroken_too(tmp_path, calls):
    def grown(folder, answerer):
        fresh = not (folder / "run.db").exists()
        with toy.create(folder) if fresh else Store.open(folder) as store:
            the_desk = desk(store, answerer, recorded=store.calls())

            def measured(candidate):
                # Two models may propose one kernel: whoever answers first has it judged.
                if candidate.number not in {again.number for again in store.remeasurements()}:
                    candidate = replace(candidate, number=0, parents=())
                return toy.noisy(candidate)

            search = toy.search(
                store,
                toy.Immediate(measured),
                in_flight=8,
                parts=parts(the_desk),
                evaluations=COUNT,
                remeasure=2,
            )
            return search.run(noisy_seeds()), [*store.rejections(), *store.calls()]

    reason, said = grown(tmp_path / "whole", ScriptedAnswerer(advise))
    assert reason == f"{COUNT} evaluations"
    assert whole(tmp_path / "whole")[4]
    patient = ScriptedAnswerer(lambda asked: advise(asked) if len(patient.asked) <= calls else None)
    reason, _ = grown(tmp_path / "cut", patient)
    assert reason.startswith("waiting for ")
    assert grown(tmp_path / "cut", ScriptedAnswerer(advise)) == (f"{COUNT} evaluations", said)
    assert whole(tmp_path / "cut")[:5] == whole(tmp_path / "whole")[:5]
