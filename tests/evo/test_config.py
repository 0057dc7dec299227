"""Experiment files: strict to read, whole to write down."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evo.config import LANGUAGES, Config, load_config
from evo.settings import TABLES, DeviceConfig
from evo.strict import to_toml
from populations.errors import ConfigError
from tests.evo.experiments import FULL, MINIMAL, MODELS


def refused(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults_fill_what_is_not_said(experiment):
    config = load_config(experiment())
    assert config.name == "toy"
    assert config.budget.evaluations == 10
    assert config.search.population == 24
    assert config.target.cpu == DeviceConfig()
    assert config.problem.path == config.path.with_name("problem.py")
    assert config.seeds == {}


def test_what_is_said_is_taken(experiment):
    config = load_config(experiment(FULL))
    assert config.target.threads == 3
    assert config.target.cpu.workloads == ("a", "b")
    assert config.seeds == {"cpp": config.path.with_name("seed.py"), "triton": "inductor"}
    assert config.search.edits == 2.0
    assert isinstance(config.search.edits, float)
    assert config.operators.weights == {"hoist": 0.5}


def test_the_command_line_has_the_last_word(experiment):
    overrides = [
        "budget.evaluations=20",
        "target.device=cuda",
        'target.cpu.workloads=["c"]',
        "operators.weights.tune = 0",
        "seeds.cpp=inductor",
    ]
    config = load_config(experiment(FULL), overrides)
    assert config.budget.evaluations == 20
    assert config.target.device == "cuda"
    assert config.target.cpu.workloads == ("c",)
    assert config.operators.weights == {"hoist": 0.5, "tune": 0.0}
    assert config.seeds["cpp"] == "inductor"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[serach]\nseed = 1", ['unknown table "serach"', 'did you mean "search"?']),
        ("[search]\npopulaton = 3", ["[search]", '"populaton"', 'did you mean "population"?']),
        ("[search]\nzzz = 3", ["[search]", '"zzz"', "known: seed, policy, population"]),
        ("[target.cpu]\nworkload = []", ["[target.cpu]", 'did you mean "workloads"?']),
        ("[search]\nseed = 1.5", ["[search] seed must be a whole number", "1.5"]),
        ("[search]\nseed = true", ["[search] seed must be a whole number", "True"]),
        ('[search]\nedits = "2"', ["[search] edits must be a number", "'2'"]),
        ("[search]\nedits = 0.5", ["[search] edits must be at least 1", "0.5"]),
        ("[search]\nedits = nan", ["[search] edits", "nan"]),
        ("[search]\nedits = inf", ["[search] edits must be at most"]),
        ("[search]\nseed = -1", ["[search] seed must not be negative", "-1"]),
        (
            '[search]\nselection = "torunament"',
            ["[search] selection", 'did you mean "tournament"?'],
        ),
        ("[search]\nselection = 3", ["[search] selection = 3 is not a choice"]),
        ('[target]\ndevice = "gpu"', ["[target] device = 'gpu' is not a choice", "cpu"]),
        ("[target]\ncpu = 3", ["[target.cpu] must be a table", "3"]),
        ('[target.cpu]\nworkloads = "a"', ["[target.cpu] workloads must be a list of names"]),
        ("[target.cpu]\nworkloads = [1]", ["[target.cpu] workloads must be a list of names"]),
        ("[evaluation]\npairs = 9", ["[evaluation] pairs must be at least 10", "9"]),
        ("[evaluation]\nseeds = 0", ["[evaluation] seeds must be at least 1"]),
        ("[evaluation]\nrun_limit_s = 0", ["[evaluation] run_limit_s must be at least 1"]),
        ("[evaluation]\nallow_degenerate = 1", ["allow_degenerate must be true or false", "1"]),
        ("[operators.weights]\nx = -1", ['[operators] weights "x" must not be negative']),
        ("[operators]\nweights = 1", ["[operators] weights must be a table"]),
        ('[seeds]\ncp = "seed.py"', ['[seeds] unknown language "cp"', 'did you mean "cpp"?']),
        ('[seeds]\ncpp = "sed.py"', ["[seeds] cpp", "no such file", 'did you mean "seed.py"?']),
        ("[seeds]\ncpp = 3", ["[seeds] cpp must be a path in quotes", "3"]),
        ('["a\\nb"]\nx = 1', ["unknown table"]),
        ("[search]\nseed = 1\nseed = 2", ["not a TOML file", "line"]),
        ("x = ", ["not a TOML file", "line"]),
    ],
)
def test_bad_input_is_told_in_one_line(experiment, text, words):
    message = refused(experiment(f"{MINIMAL}\n{text}\n"))
    assert message.startswith(str(load_config(experiment()).path))
    for word in words:
        assert word in message


def test_what_must_be_there(experiment):
    assert "missing table [problem]" in refused(experiment("[budget]\nevaluations = 1\n"))
    assert '[problem] missing key "path"' in refused(experiment("[problem]\n"))
    assert "[problem] must be a table" in refused(experiment("problem = 3\n"))
    missing = refused(experiment(MINIMAL.replace("problem.py", "problme.py")))
    assert "[problem] path" in missing
    assert 'did you mean "problem.py"?' in missing
    assert "[budget] sets no limit" in refused(experiment('[problem]\npath = "problem.py"\n'))


def test_a_missing_experiment_names_the_nearest_one(experiment, tmp_path):
    path = experiment()
    assert f"did you mean {path}?" in refused(tmp_path / "tyo.toml")
    assert "no such experiment file" in refused(tmp_path)
    assert "no such experiment file" in refused(tmp_path / ("x" * 300))
    assert "did you mean experiments/conv1d.toml?" in refused(Path("conv1.toml"))


def test_an_example_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(Path("experiments/conv1d.toml")).problem.path.is_file()


def test_a_file_that_is_no_text(experiment):
    path = experiment()
    path.write_bytes(b"\xff\xfe")
    assert "not a TOML file" in refused(path)


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("seed", "expected table.key=value"),
        ("seed=1", "expected table.key=value"),
        ("search.sed=1", 'did you mean "seed"?'),
        ("search.seed.x=1", "'seed' is a value, not a table"),
        ("search.seed=1\nx=2", "must be a whole number"),
        ("search.seed=", "must be a whole number"),
    ],
)
def test_bad_overrides_are_told_in_one_line(experiment, override, word):
    text = MINIMAL + "[search]\nseed = 1\n"
    with pytest.raises(ConfigError) as caught:
        load_config(experiment(text), [override])
    assert word in str(caught.value)


def equal(first: Config, second: Config) -> bool:
    """Whether two configurations are the same but for the file they stand in."""
    return dataclasses.replace(first, path=second.path, name=second.name) == second


@pytest.mark.parametrize("text", [MINIMAL, FULL])
def test_the_resolved_text_reads_back(experiment, tmp_path, text):
    config = load_config(experiment(text))
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.toml").write_text(config.text, encoding="utf-8")
    again = load_config(other / "config.toml")
    assert equal(config, again)
    assert again.fingerprint() == config.fingerprint()
    assert again.text == config.text


def test_odd_paths_and_names_read_back(tmp_path):
    folder = tmp_path / "ha\x7fha \U0001f600 \"quoted\" 'so' \\n\t"
    folder.mkdir()
    (folder / "problem.py").write_text("")
    (folder / "e.toml").write_text(MINIMAL + '[operators.weights]\n"a b.\\u0001" = 1\n')
    config = load_config(folder / "e.toml")
    (tmp_path / "again.toml").write_text(config.text, encoding="utf-8")
    assert equal(config, load_config(tmp_path / "again.toml"))


plain = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(st.text()) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), plain))
def test_what_is_written_is_toml(data):
    assert tomllib.loads(to_toml(data)) == data


def test_models_are_read_and_read_back(experiment, tmp_path):
    config = load_config(experiment(FULL + MODELS))
    local, people = config.models
    assert (local.provider, local.price_out, local.temperature) == ("openai", 2.5, 0.7)
    assert people.directory == tmp_path / "answers"
    assert people.command == ("cat",)
    again = tmp_path / "again.toml"
    again.write_text(config.text)
    assert load_config(again).models == config.models


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models = 3", "[[models]]"),
        ('[[models]]\nmodel = "m"', 'missing key "name"'),
        ('[[models]]\nname = "a b"', "'a b'"),
        ('[[models]]\nname = "a"\n[[models]]\nname = "a"', "two of the name"),
        ('[[models]]\nname = "a"\nprovider = "open"', "did you mean"),
        ('[[models]]\nname = "a"\ntemperature = "hot"', "a number"),
        ('[[models]]\nname = "a"\nkey = "sk-1"', 'unknown key "key"'),
    ],
)
def test_a_wrong_model_is_told_in_one_line(experiment, text, words):
    given = f"{text}\n{FULL}" if text.startswith("models") else f"{FULL}\n{text}"
    with pytest.raises(ConfigError) as caught:
        load_config(experiment(given))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


names = st.sampled_from(
    sorted(
        {
            *TABLES,
            "seeds",
            "cpu",
            "cuda",
            *(f.name for c in TABLES.values() for f in dataclasses.fields(c)),
        }
    )
) | st.text(max_size=8)


scalars = (
    st.booleans()
    | st.integers()
    | st.integers(min_value=10**300)
    | st.floats()
    | st.text()
    | st.sampled_from(["problem.py", "inductor", "x" * 300, "a/../../b", "\0", "cpu"])
    | st.datetimes().map(str)
)


tables = st.recursive(
    scalars | st.lists(scalars, max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=4),
    max_leaves=10,
)


def as_toml(value) -> str:
    """One value as inline TOML, in every type that there is."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(k)} = {as_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text: str) -> str:
    return to_toml({"x": text}).removeprefix("x = ").strip()


@given(st.dictionaries(names, tables, max_size=4))
def test_any_table_is_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    (folder / "problem.py").write_text("")
    data = {"problem": {"path": "problem.py"}, "budget": {"patience": 1}, **data}
    path = folder / "any.toml"
    path.write_text("".join(f"{quoted(k)} = {as_toml(v)}\n" for k, v in data.items()), "utf-8")
    try:
        config = load_config(path)
    except ConfigError as error:
        message = str(error)
    else:
        message = str(path)
        assert re.fullmatch("[0-9a-f]{16}", config.fingerprint())
        (folder / "again.toml").write_text(config.text, encoding="utf-8")
        assert equal(config, load_config(folder / "again.toml"))
    assert str(path) in message
    assert "\n" not in message


@given(st.text(), st.sampled_from(["", "search.seed=", "budget.", "operators.weights.x="]))
def test_any_override_is_read_or_refused(tmp_path_factory, text, start):
    folder = tmp_path_factory.getbasetemp() / "override"
    folder.mkdir(exist_ok=True)
    (folder / "problem.py").write_text("")
    (folder / "e.toml").write_text(MINIMAL)
    with contextlib.suppress(ConfigError):
        load_config(folder / "e.toml", [start + text])


def test_the_shipped_experiments_are_sound():
    folder = Path(__file__).resolve().parents[2] / "experiments"
    found = sorted(folder.glob("*.toml"))
    assert {path.stem for path in found} >= {"conv1d", "rmsnorm_backward"}
    for path in found:
        config = load_config(path)
        if config.evaluation.landscape:
            assert config.evaluation.landscape.is_file()
            continue
        assert set(config.seeds) & set(LANGUAGES["cpu"])
        assert set(config.seeds) & set(LANGUAGES["cuda"])
