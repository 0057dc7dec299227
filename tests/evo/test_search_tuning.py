"""What [tuning] switches on: still a function of seed and results, resumed or not."""

from __future__ import annotations

import random

import pytest

from evo.config import load_config
from evo.experiment import weighted_operators
from operators.merge import ThreeWayMerge
from operators.tuning import Tune
from populations.errors import ConfigError
from populations.parameters import skeleton
from populations.store import Store
from tests.evo import toy
from tests.evo.test_resume import session, whole

COUNT = 40


class Impatient(toy.Immediate):
    """Remembers below which speedup nobody is interested."""

    def __init__(self) -> None:
        super().__init__()
        self.hopeless = {}

    def submit(self, candidate, *, hopeless=None):
        self.hopeless[candidate.number] = hopeless
        return super().submit(candidate)


def parts(**tuning):
    tune = Tune(**tuning)
    made = (toy.Switch("front", "abcd"), toy.Switch("back", "efgh"), ThreeWayMerge(), tune)
    return {"operators": {o.name: o for o in made}}


EXPECTED = {"sampler": "expected", "learn": True, "share": "promise"}


def test_sharing_survivors_is_resumed_as_if_unbroken(tmp_path):
    def run(folder, **cut):
        # A tuner of its own in each session: nothing that one remembers may decide.
        return session(folder, parts=parts(**EXPECTED), in_flight=3, evaluations=COUNT, **cut)

    assert run(tmp_path / "unbroken")
    unbroken = whole(tmp_path / "unbroken")
    assert sum(c.operator == "tune" for c in unbroken[0]) >= 5
    rng = random.Random(2)
    for number in range(2):
        folder = tmp_path / f"{number}"
        while not run(folder, at=rng.randrange(10, 60), before=rng.random() < 0.5):
            pass
        assert whole(folder) == unbroken


def test_the_lineage_names_the_survivor_that_a_trial_was_spent_on(tmp_path):
    with toy.create(tmp_path) as store:
        toy.search(store, toy.Immediate(), parts=parts(**EXPECTED), evaluations=COUNT).run(
            toy.seeds()
        )
        by_number = {c.number: c for c in store.candidates()}
    trials = [c for c in by_number.values() if c.operator == "tune"]
    assert trials
    for trial in trials:
        (parent,) = trial.parents
        assert skeleton(by_number[parent].source) == skeleton(trial.source)


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_trials_alone_may_be_given_up_and_only_where_it_is_asked_for(tmp_path, share):
    evaluator = Impatient()
    with toy.create(tmp_path) as store:
        search = toy.search(
            store, evaluator, parts=parts() | {"early_stop": share}, evaluations=COUNT, in_flight=1
        )
        search.run(toy.seeds())
        kernels = search.lineage.kernels
        for number, hopeless in evaluator.hopeless.items():
            candidate = kernels[number].candidate
            if candidate.operator != "tune" or not share:
                assert not hopeless
                continue
            before = [
                k.evaluation.speedup.value
                for k in search.lineage.same_skeleton(skeleton(candidate.source))
                if k.number < number and k.passed
            ]
            assert hopeless == {"w": pytest.approx(share * max(before))}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], ("tpe", False, "parent")),
        (["tuning.sampler=expected", "tuning.share=promise"], ("expected", False, "promise")),
        (["tuning.learn=true"], ("tpe", True, "parent")),
    ],
)
def test_the_experiment_decides(overrides, expected):
    config = load_config(toy_experiment(), ["budget.evaluations=3", *overrides])
    tune = weighted_operators(config, "cpu")[0]["tune"]
    assert (tune._sampler, tune._learn, tune._share) == expected


def toy_experiment():
    from tests.evo.test_cli import ROOT

    return ROOT / "experiments/conv1d.toml"


def test_keys_of_tuning_count_for_a_run_only_when_they_are_used():
    plain = load_config(toy_experiment()).fingerprint()
    same = ["tuning.sampler=tpe", "tuning.early_stop=0.0"]
    assert load_config(toy_experiment(), same).fingerprint() == plain
    other = load_config(toy_experiment(), ["tuning.learn=true"])
    assert other.fingerprint() != plain


def test_a_share_that_is_none_is_refused():
    config = load_config(toy_experiment(), ["tuning.early_stop=1.0"])
    with pytest.raises(ConfigError, match=r"\[tuning\] early_stop"):
        weighted_operators(config, "cpu")


def test_stores_without_device_facts_are_read(tmp_path):
    with toy.create(tmp_path):
        pass
    with Store.open(tmp_path) as store:
        assert store.meta("device_facts") is None
