"""Whole searches with every policy: deterministic, resumable at any moment, and of use."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evo.config import load_config
from evo.policies import POLICIES, policy, wants_diagnostics
from evo.settings import BeamConfig, IslandsConfig, SearchConfig
from operators.llm.fake import ScriptedAnswerer
from populations.errors import ConfigError
from populations.policies.policy import CHANGES
from populations.store import Store
from tests.evo import toy
from tests.evo.test_resume import Cut, Cutting, Strict
from tests.evo.test_search_models import advise, desk, parts

COUNT = 40
SMALL = SearchConfig(
    population=9,
    islands=IslandsConfig(count=3, interval=7, stagnation=3),
    beam=BeamConfig(width=3, branching=3),
)
each_policy = pytest.mark.parametrize("name", POLICIES)


def made(name):
    return POLICIES[name](replace(SMALL, policy=name))


def session(folder, name, *, at=10**9, before=False, evaluations=COUNT, **arguments):
    """One session of a run, cut off at a commit or not; whether it came to its end."""
    fresh = not (folder / "run.db").exists()
    with toy.create(folder) if fresh else Store.open(folder) as store:
        search = toy.search(
            Cutting(store, at=at, before=before),
            Strict(store),
            parts={"policy": made(name)},
            evaluations=evaluations,
            **arguments,
        )
        try:
            search.run(toy.seeds())
        except Cut:
            return False
    return True


def whole(folder):
    """The lineage, and what the policy did beside it, event by event."""
    with Store.open(folder, read_only=True) as store:
        events = [(e.kind, e.data) for e in store.events() if e.kind in CHANGES]
        return [*toy.contents(store), events]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What an unbroken run of each policy holds, made once."""
    known = {}

    def of(name):
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            assert session(folder, name)
            known[name] = whole(folder)
        return known[name]

    return of


@each_policy
def test_two_runs_of_one_seed_agree(tmp_path, unbroken, name):
    assert session(tmp_path / "again", name)
    assert whole(tmp_path / "again") == unbroken(name)
    assert session(tmp_path / "other", name, seed=2)
    assert whole(tmp_path / "other") != unbroken(name)


@each_policy
@pytest.mark.parametrize("before", [True, False], ids=["before a commit", "behind a commit"])
def test_a_run_cut_several_times_goes_on_unbroken(tmp_path, unbroken, name, before):
    for at in (3, 17, 31, 46, 64):
        folder = tmp_path / f"{at}"
        assert not session(folder, name, at=at, before=before)
        # Once more, soon: the second session's own commits are cut too.
        session(folder, name, at=5 + at % 7, before=not before)
        session(folder, name)
        assert whole(folder) == unbroken(name), f"cut at commit {at}"


@each_policy
def test_a_larger_budget_goes_on(tmp_path, unbroken, name):
    """What is inserted at the end of a session does not depend on proposals not made by then."""
    for count in (5, 6, 23, COUNT):
        session(tmp_path, name, evaluations=count)
    assert whole(tmp_path) == unbroken(name)


@each_policy
def test_the_lineage_depends_on_no_clock(tmp_path, unbroken, name):
    with toy.create(tmp_path) as store:
        evaluator = toy.NewestFirst()
        chosen = {"policy": made(name)}
        toy.search(store, evaluator, parts=chosen, evaluations=COUNT).run(toy.seeds())
        evaluator.close()
    assert whole(tmp_path) == unbroken(name)


@pytest.mark.parametrize("name", ["islands", "mcts", "beam"])
def test_dialogues_that_come_to_nothing_are_told_and_resumed(tmp_path, name):
    def run(folder, *, interrupt_at=None):
        fresh = not (folder / "run.db").exists()
        with toy.create(folder) if fresh else Store.open(folder) as store:
            answerer = ScriptedAnswerer(advise)
            own = parts(desk(store, answerer, recorded=store.calls()), policy=made(name))
            search = toy.search(store, toy.Immediate(), in_flight=8, parts=own, evaluations=COUNT)
            notify = search.parts.observer.notify

            def stop(event):
                notify(event)
                if interrupt_at and len(search.lineage) >= interrupt_at:
                    search.interrupt()

            search.parts.observer.notify = stop
            reason = search.run(toy.seeds())
            return reason, [*whole(folder), store.rejections()]

    reason, found = run(tmp_path / "unbroken")
    assert reason == f"{COUNT} evaluations"
    assert found[-1]
    for count in (8, 20, 33):
        assert run(tmp_path / str(count), interrupt_at=count)[0] == "interrupted"
        assert run(tmp_path / str(count))[1] == found


def test_migrations_are_events_and_not_repeated(tmp_path, unbroken):
    kinds = [kind for kind, _ in unbroken("islands")[3]]
    assert {*kinds} == CHANGES
    assert kinds.count("settled") == COUNT
    for name in POLICIES:
        if name != "islands":
            assert unbroken(name)[3] == []


@each_policy
def test_finalists_are_there(tmp_path, name):
    with toy.create(tmp_path) as store:
        search = toy.search(store, toy.Immediate(), parts={"policy": made(name)}, evaluations=COUNT)
        search.run(toy.seeds())
        members = search.parts.policy.members
        assert members[0].fitness == search.champion.fitness
        assert all(search.lineage.get(member.number) is member for member in members)


@pytest.fixture
def experiment(tmp_path):
    (tmp_path / "problem.py").write_text("problem")

    def load(*overrides):
        path = tmp_path / "toy.toml"
        path.write_text('[problem]\npath = "problem.py"\n[budget]\nevaluations = 10\n')
        return load_config(path, overrides)

    return load


@each_policy
def test_an_experiment_names_its_policy(experiment, name):
    config = experiment(f"search.policy={name}")
    assert type(policy(config)) is type(made(name))
    assert (config.fingerprint() == experiment().fingerprint()) == (name == "population")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "search.policy=island",
            "[search] policy = 'island' is not a choice; did you mean \"islands\"?",
        ),
        ("search.islands.count=0", "[search.islands] count must be at least 1"),
        ("search.islands.conut=2", '[search.islands] unknown key "conut"; did you mean "count"?'),
        ("search.islands.topology=star", "[search.islands] topology = 'star' is not a choice"),
        ("search.islands=3", "[search.islands] must be a table"),
        ("search.beam.width=0", "[search.beam] width must be at least 1"),
        ("search.mcts.exploration=-1", "[search.mcts] exploration must not be negative"),
        (
            'search.map_elites.descriptors=["sizes"]',
            '[search.map_elites] descriptors has no "sizes" to choose; did you mean "size"?',
        ),
    ],
)
def test_a_wrong_key_is_told(experiment, override, words):
    with pytest.raises(ConfigError) as caught:
        experiment(override)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        ([], False),
        (["search.policy=map_elites"], True),
        (["search.policy=map_elites", 'search.map_elites.descriptors=["size"]'], False),
    ],
)
def test_only_descriptors_that_need_it_have_kernels_diagnosed(experiment, overrides, wanted):
    assert wants_diagnostics(experiment(*overrides)) is wanted
