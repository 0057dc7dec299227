"""`[search] screening`: the most promising of what is offered; still a function of the seed."""

from __future__ import annotations

import random

import pytest

from evo.config import _told, load_config
from operators.credit import Credit
from operators.llm.fake import ScriptedAnswerer
from operators.operator import Variation
from populations.parameters import skeleton, values, with_values
from populations.store import Store
from tests.evo import toy
from tests.evo.test_cli import TOML
from tests.evo.test_resume import session, whole
from tests.evo.test_search_models import advise, desk, parts

ON = {"screening": 4, "in_flight": 3, "evaluations": 24}


def test_the_key_is_in_the_fingerprint_only_where_it_is_used():
    off, on = (load_config(TOML, [f"search.screening={number}"]) for number in (0, 6))
    assert "screening" not in off._tables(_told)["search"]
    assert on._tables(_told)["search"]["screening"] == 6
    assert (
        load_config(TOML).fingerprint() == load_config(TOML, ["search.screening=6"]).fingerprint()
    )


def test_the_lineage_depends_on_no_clock(tmp_path):
    found = []
    for name, evaluator in (
        ("1", toy.Immediate()),
        ("2", toy.NewestFirst()),
        ("3", toy.Delayed(workers=3, delay_s=0.005, seed=1)),
    ):
        with toy.create(tmp_path / name) as store:
            toy.search(store, evaluator, **ON).run(toy.seeds())
            found.append(store.candidates())
        evaluator.close()
    assert found[0] == found[1] == found[2]


def test_a_run_cut_anywhere_goes_on_unbroken(tmp_path):
    assert session(tmp_path / "unbroken", **ON)
    unbroken = whole(tmp_path / "unbroken")
    rng = random.Random(3)
    for number in range(2):
        folder = tmp_path / f"{number}"
        while not session(folder, at=rng.randrange(5, 40), before=rng.random() < 0.5, **ON):
            pass
        assert whole(folder) == unbroken


def test_a_run_with_models_that_waits_goes_on_unbroken(tmp_path):
    def grown(folder, answerer):
        fresh = not (folder / "run.db").exists()
        with toy.create(folder) if fresh else Store.open(folder) as store:
            the_desk = desk(store, answerer, recorded=store.calls())
            made = parts(the_desk)
            search = toy.search(store, toy.Immediate(), parts=made, **{**ON, "in_flight": 8})
            return search.run(toy.seeds()), store.candidates()

    reason, candidates = grown(tmp_path / "whole", ScriptedAnswerer(advise))
    assert reason == "24 evaluations"
    assert {"front", "tune"} & {c.operator for c in candidates}
    patient = ScriptedAnswerer(lambda asked: advise(asked) if len(patient.asked) <= 4 else None)
    reason, _ = grown(tmp_path / "cut", patient)
    assert reason.startswith("waiting for ")
    assert grown(tmp_path / "cut", ScriptedAnswerer(advise)) == ("24 evaluations", candidates)


def test_children_may_have_other_launch_parameters_and_say_so(tmp_path):
    with toy.create(tmp_path) as store:
        search = toy.search(store, toy.Immediate(), **{**ON, "evaluations": 40})
        search.run(toy.seeds())
        made = store.candidates()
        kernels = search.lineage.kernels
    structural = [c for c in made if c.operator in ("front", "back")]
    assert any(" to " in c.note and "turned" in c.note for c in structural)
    tuned = [c for c in made if c.operator == "tune"]
    assert tuned
    for candidate in tuned:
        parent = kernels[candidate.parents[0]]
        assert skeleton(candidate.source) == skeleton(parent.source)
        assert candidate.note.count(" to ") >= 1
    assert len({c.digest for c in made}) == len(made)


class Odd(toy.QuickTune):
    """Proposes what no mark allows, so that its own points are told from others."""

    def vary(self, parents, situation):
        value = 64 + len(situation.lineage)
        return Variation(source=with_values(parents[0].source, {"BLOCK": value}), note="odd")


def test_the_tuners_own_trial_is_on_offer(tmp_path, monkeypatch):
    offered = []

    def odd(sources, *_):
        offered.append([values(source)["BLOCK"] for source in sources])
        return offered[-1].index(max(offered[-1]))

    monkeypatch.setattr("evo.proposing.most_promising", odd)
    own = {"operators": {"tune": Odd()}, "structural": frozenset()}
    own["credit"] = Credit(priors={"tune": 1.0})
    with toy.create(tmp_path) as store:
        arguments = {"screening": 2, "in_flight": 1, "evaluations": 6}
        toy.search(store, toy.Immediate(), parts=own, **arguments).run(toy.seeds())
        made = store.candidates()[1:]
    assert {c.note for c in made} == {"odd"}
    assert all(len(blocks) > 4 for blocks in offered)


@pytest.mark.parametrize("screening", [1, 4])
def test_a_search_with_little_to_find_comes_to_its_end(tmp_path, screening):
    with toy.create(tmp_path) as store:
        arguments = {"screening": screening, "evaluations": 30, "in_flight": 2}
        search = toy.search(store, toy.Immediate(), parts=toy.only(toy.Newest(3)), **arguments)
        assert search.run(toy.seeds()) in ("no operator finds anything new", "30 evaluations")
