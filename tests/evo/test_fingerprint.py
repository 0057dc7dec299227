"""What tells one experiment from another."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import MappingProxyType

from evo.config import Config, load_config
from evo.settings import TABLES, added
from operators.llm.settings import ModelSettings
from tests.evo.experiments import FULL, MODELS


def flipped(value):
    """Another value of the same type."""
    if isinstance(value, Path):
        return value.with_name("other.py")
    if value is None:
        return Path(__file__)
    if isinstance(value, (dict, MappingProxyType)):
        return {**value, "extra": 2.5}
    if isinstance(value, tuple):
        return (*value, "extra")
    return f"{value}!" if isinstance(value, str) else value + 1


def variants(config: Config):
    """Every configuration that differs in one field, with the field's place."""

    def changed(record, where):
        for field in dataclasses.fields(record):
            value = getattr(record, field.name)
            if dataclasses.is_dataclass(value):
                inner = changed(value, f"{where}{field.name}.")
            else:
                inner = [(f"{where}{field.name}", flipped(value))]
            for place, new in inner:
                yield place, dataclasses.replace(record, **{field.name: new})

    yield from changed(config, "")


def test_every_field_but_the_budget_tells_experiments_apart(experiment, tmp_path):
    (tmp_path / "other.py").write_text("another problem")
    config = load_config(experiment(FULL))
    seeds = {**config.seeds, "python": tmp_path / "other.py"}
    found = dict(variants(dataclasses.replace(config, seeds=config.seeds)))
    found["seeds"] = dataclasses.replace(config, seeds=seeds)
    found["models"] = dataclasses.replace(config, models=(ModelSettings("local"),))
    origin = {"path", "name", "overrides"}
    assert {place.partition(".")[0] for place in found} == {*TABLES, "seeds", "models", *origin}
    same = {place for place, other in found.items() if other.fingerprint() == config.fingerprint()}
    budget = {f"budget.{field.name}" for field in dataclasses.fields(config.budget)}
    assert same == {*budget, *origin, "operators.drafts"}


def test_drafts_tell_experiments_apart_where_models_draft(experiment):
    path = experiment(FULL + MODELS)
    one, other = (load_config(path, [f'operators.drafts="{d}"']) for d in ("champion", "nobody"))
    assert one.fingerprint() != other.fingerprint()


def test_what_a_model_costs_and_where_it_is_does_not_tell_experiments_apart(experiment):
    one = load_config(experiment(FULL + MODELS))
    moved = MODELS.replace("localhost:8000", "elsewhere:1").replace("2.5", "3.5")
    assert load_config(experiment(FULL + moved)).fingerprint() == one.fingerprint()
    other = MODELS.replace('"local"', '"other"')
    assert load_config(experiment(FULL + other)).fingerprint() != one.fingerprint()


def test_the_contents_of_files_tell_experiments_apart(experiment, tmp_path):
    path = experiment(FULL)
    before = load_config(path).fingerprint()
    (tmp_path / "seed.py").write_text("another seed")
    changed = load_config(path).fingerprint()
    assert changed != before
    (tmp_path / "problem.py").write_text("another problem")
    assert load_config(path).fingerprint() not in (before, changed)


def test_where_files_lie_does_not_tell_experiments_apart(experiment, tmp_path):
    config = load_config(experiment(FULL))
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("problem.py", "seed.py", "toy.toml"):
        (moved / name).write_bytes((tmp_path / name).read_bytes())
    assert load_config(moved / "toy.toml").fingerprint() == config.fingerprint()


def test_which_seed_is_a_file_tells_experiments_apart(experiment):
    one = load_config(experiment(FULL))
    swapped = ['seeds.cpp="inductor"', 'seeds.triton="seed.py"']
    assert load_config(experiment(FULL), swapped).fingerprint() != one.fingerprint()


@dataclasses.dataclass(frozen=True)
class Later:
    """A table that later versions have grown."""

    topology: str = added("ring")
    interval: int = added(5, absent=0)


@dataclasses.dataclass(frozen=True)
class Grown(Config):
    """A configuration of a later version."""

    later: Later = Later()


def test_a_key_that_is_added_leaves_the_experiments_of_before_as_they_were(experiment):
    before = load_config(experiment(FULL))
    values = {f.name: getattr(before, f.name) for f in dataclasses.fields(before)}
    grown = Grown(**values, later=Later(interval=0))
    assert grown.fingerprint() == before.fingerprint()
    assert grown.text == before.text + '\n[later]\ntopology = "ring"\ninterval = 0\n'
    # A default that is another than what was done before the key was there tells them apart.
    others = [Later(), Later("random", 0)]
    found = [Grown(**values, later=later).fingerprint() for later in others]
    assert len({*found, before.fingerprint()}) == 3
