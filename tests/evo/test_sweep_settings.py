"""Sweep files: what they say, and in which words they are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evo.config import load_config
from evo.sweeps.settings import load_sweep
from evo.sweeps.space import Parameter, override, points, written
from populations.errors import ConfigError
from tests.evo.test_cli import DATA, ROOT

HEAD = f'[sweep]\nexperiment = "{DATA / "scale.toml"}"\n'
TUNE = '"operators.tune" = [0.1, 1.0]\n'


@pytest.fixture
def load(tmp_path):
    def loaded(text: str, name: str = "it"):
        file = tmp_path / f"{name}.toml"
        file.write_text(text)
        return load_sweep(file)

    return loaded


def test_a_file_in_full(load):
    sweep = load(
        HEAD
        + "trials = 9\nseeds = [3, 1]\nprune = 0.2\n"
        + '[sweep.set]\n"budget.evaluations" = 5\n'
        + "[sweep.parameters]\n"
        + '"search.selection" = ["tournament", "best"]\n'
        + '"search.tournament" = { low = 2, high = 8, '
        + 'when = { "search.selection" = ["tournament"] } }\n'
        + '"operators.tune" = { low = 0.1, high = 2.0, log = true }\n'
        + '"search.edits" = { low = 1.0, high = 2.0, step = 0.25 }\n'
    )
    assert (sweep.name, sweep.trials, sweep.seeds, sweep.maximize) == ("it", 9, (3, 1), True)
    assert sweep.experiment == DATA / "scale.toml"
    assert sweep.fixed == ("budget.evaluations=5",)
    selection, tournament, tune, edits = sweep.parameters
    assert selection.choices == ("tournament", "best")
    assert tournament.is_whole
    assert tournament.values() == tuple(range(2, 9))
    assert tournament.applies({"search.selection": "tournament"})
    assert not tournament.applies({"search.selection": "best"})
    assert (tune.log, tune.countable, edits.countable) == (True, False, True)
    assert edits.values() == (1.0, 1.25, 1.5, 1.75, 2.0)


def test_a_grid_has_its_points_in_order(load):
    sweep = load(
        HEAD
        + 'sampler = "grid"\nseeds = 2\n[sweep.parameters]\n'
        + '"search.selection" = ["tournament", "best"]\n'
        + '"search.tournament" = { low = 2, high = 6, step = 3, '
        + 'when = { "search.selection" = ["tournament"] } }\n'
    )
    assert sweep.trials == 3
    assert sweep.grid == (
        {"search.selection": "tournament", "search.tournament": 2},
        {"search.selection": "tournament", "search.tournament": 5},
        {"search.selection": "best"},
    )


def test_what_decides_results_decides_the_fingerprint(load):
    text = HEAD + "trials = 4\nseeds = 2\n[sweep.parameters]\n" + TUNE
    same = load(text).fingerprint
    assert load(text.replace("trials = 4", 'trials = 40\nsampler = "random"')).fingerprint == same
    for other in (
        text.replace("seeds = 2", "seeds = 3"),
        text.replace("1.0]", "2.0]"),
        text.replace("[sweep.par", '[sweep.set]\n"budget.evaluations" = 6\n[sweep.par'),
        text.replace("trials = 4", 'trials = 4\nmetric = "evaluations"\ntarget = 2.0'),
    ):
        assert load(other).fingerprint != same


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "missing table [sweep]"),
        ("[swep]\n", 'unknown table "swep"; did you mean "sweep"?'),
        (HEAD + "trails = 3\n", '[sweep] unknown key "trails"; did you mean "trials"?'),
        ("[sweep]\ntrials = 3\n", '[sweep] missing key "experiment"'),
        ('[sweep]\nexperiment = "scal.toml"\n', "[sweep] experiment: scal.toml: no such"),
        (HEAD, "[sweep.parameters] must name what is varied"),
        (HEAD + "[sweep.parameters]\n" + TUNE, 'missing key "trials"'),
        (HEAD + "seeds = 0\n", "seeds must be how many, or a list of different numbers"),
        (HEAD + "seeds = [1, 1]\n", "seeds must be how many, or a list of different numbers"),
        (HEAD + "seeds = true\n", "seeds must be how many"),
        (HEAD + 'sampler = "gird"\n', "sampler = 'gird' is not a choice; did you mean \"grid\"?"),
        (HEAD + "trials = 1\nprune = 1.0\n[sweep.parameters]\n" + TUNE, "prune must be at least 0"),
        (
            HEAD + 'trials = 1\nmetric = "evaluations"\n[sweep.parameters]\n' + TUNE,
            "target, a speedup above 0, belongs to",
        ),
        (HEAD + "trials = 1\ntarget = 2.0\n[sweep.parameters]\n" + TUNE, "target, a speedup"),
        (
            HEAD + 'trials = 1\nsampler = "grid"\n[sweep.parameters]\n' + TUNE,
            "trials: a grid has 2 points",
        ),
        (
            HEAD
            + 'sampler = "grid"\n[sweep.parameters]\n"operators.tune" = {low = 0.1, high = 1.0}',
            "a grid needs a step or choices",
        ),
        (
            HEAD + 'trials = 1\n[sweep.parameters]\n"tune" = [1]\n',
            'expected "table.key", in quotes',
        ),
        (HEAD + 'trials = 1\n[sweep.parameters]\n"search.seed" = [1]\n', "seeds are given by"),
        (HEAD + "trials = 1\n[sweep.parameters]\nsearch.edits = [1.0]\n", 'expected "table.key"'),
        (HEAD + 'trials = 1\n[sweep.set]\n"a.b" = { c = 1 }\n', "write keys in quotes"),
        (
            HEAD
            + "trials = 1\n[sweep.parameters]\n"
            + TUNE
            + '[sweep.set]\n"operators.tune" = 1.0',
            "is both set and varied",
        ),
    ],
)
def test_what_is_wrong_is_named(load, text, complaint):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert complaint in str(caught.value)
    assert "it.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("3", "must be a list of choices or"),
        ("[]", "has no choices"),
        ("[1, 1]", "names 1 twice"),
        ("[true, 1]", "names 1 twice"),
        ("[[1]]", "a choice is a text, a number or a truth"),
        ("{ low = 1 }", "high must be a number"),
        ("{ low = 1, hihg = 2 }", 'unknown key "hihg"; did you mean "high"?'),
        ("{ low = 3, high = 2 }", "need low <= high"),
        ("{ low = 1, high = 2, step = 0 }", "need low <= high and step > 0"),
        ("{ low = 1, high = 2.0 }", "must be of one kind"),
        ("{ low = 1, high = 2, step = 0.5 }", "must be of one kind"),
        ("{ low = 0.0, high = 2.0, log = true }", "low must be above 0"),
        ("{ low = 1, high = 2, step = 1, log = true }", "there is no step"),
        ("{ low = 1, high = 2, log = 1 }", "log must be true or false"),
        ("{ low = 1, high = inf }", "high must be a number"),
        ("{ choices = [1], low = 1 }", "either choices or a range"),
        ('{ low = 1, high = 2, when = { "a.b" = [1] } }', '"a.b" is not varied before it'),
        ("{ low = 1, high = 2, when = 3 }", "when must be a table"),
        ('{ low = 1, high = 2, when = { "operators.tune" = [2.0] } }', "2.0 is no choice of"),
        ('{ low = 1, high = 2, when = { "operators.tune" = 1.0 } }', "must be a list of values"),
        # What the experiment itself has to say.
        ("[0]", "[search] tournament must be at least 1"),
        ("{ low = 2, high = 3000000000 }", "must be at most"),
        ('["x"]', "[search] tournament must be a whole number"),
    ],
)
def test_parameters_are_checked_on_the_experiment(load, value, complaint):
    text = HEAD + f'trials = 1\n[sweep.parameters]\n{TUNE}"search.tournament" = {value}\n'
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert complaint in str(caught.value)


def test_an_unknown_key_is_the_experiments_to_refuse(load):
    with pytest.raises(ConfigError, match='unknown key "turnament"; did you mean "tournament"'):
        load(HEAD + 'trials = 1\n[sweep.parameters]\n"search.turnament" = [2]\n')


@given(
    st.dictionaries(
        st.sampled_from(["search.edits", "operators.tune", "evaluation.timing_budget_s"]),
        st.floats(1.0, 1e6),
    ),
    st.text(st.characters(exclude_categories=("Cs", "Cc"))),
)
def test_overrides_are_read_as_they_were_meant(numbers, text):
    config = load_config(
        DATA / "scale.toml", [override(key, value) for key, value in numbers.items()]
    )
    for key, value in numbers.items():
        table, _, name = key.partition(".")
        assert getattr(getattr(config, table), name) == value
    with pytest.raises(ConfigError, match="is not a choice"):
        load_config(DATA / "scale.toml", [override("search.selection", f"x{text}")])


def test_a_grid_that_nobody_means_is_refused():
    wide = Parameter("a.b", low=1, high=10_000)
    with pytest.raises(ConfigError, match="too large"):
        points([wide, replace(wide, key="a.c")])


def test_a_point_in_one_line():
    assert written({"a.b": 0.12345678, "c.d": "x", "e.f": True}) == "a.b=0.123457 c.d=x e.f=True"


@pytest.mark.parametrize(
    "file", sorted((ROOT / "experiments/sweeps").glob("*.toml")), ids=lambda path: path.name
)
def test_the_examples_can_be_used(file):
    sweep = load_sweep(file)
    assert sweep.trials
    assert Path(sweep.experiment).is_file()
