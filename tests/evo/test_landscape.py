"""Whole runs over a measured table: no device, no torch, seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from evo.config import load_config
from evo.experiment import check_experiment, seed_candidates, weighted_operators
from evo.landscape import device_of
from evo.policies import POLICIES
from populations.errors import ConfigError
from populations.kernel import Kernel
from populations.outcome import Outcome
from populations.store import Store
from tests.evo.test_cli import ROOT, evo
from tests.fitness.landscape.tiny import BEST, source, write

MINIMAL = """
[problem]
path = "problem.py"
[evaluation]
landscape = "tiny.npz"
[budget]
evaluations = 20
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    write(tmp_path / "tiny.npz")
    (tmp_path / "problem.py").write_text("# described elsewhere\n")
    (tmp_path / "tiny.toml").write_text(MINIMAL)
    return tmp_path / "tiny.toml"


def lineage(directory: Path) -> list[Kernel]:
    with Store.open(directory, read_only=True) as store:
        return store.kernels()


def run(experiment: Path, name: str, *words: str) -> tuple[Path, str]:
    directory = experiment.parent / name
    status, out, err = evo(str(experiment), "--dir", str(directory), *words, cwd=experiment.parent)
    assert (status, err) == (0, ""), out
    return directory, out


def test_a_run_finds_the_best_point(experiment: Path) -> None:
    directory, out = run(experiment, "run", "--set", "budget.evaluations=60")
    assert "an abacus" in out
    kernels = lineage(directory)
    assert kernels[0].source == source(())
    with Store.open(directory, read_only=True) as store:
        final = store.meta("final")
        assert store.meta("facts")["landscape"] == "tiny, 20 points"
        assert store.meta("baselines") == {"w": {"eager": 2.0, "conv2d": 3.0}}
    champion = next(k for k in kernels if k.number == final["champion"])
    # The second best is 0.1 behind: further than the noise reaches.
    assert champion.source == source(BEST, 4, 8)
    assert {"cpp_halo_pad", "cpp_explicit_vectors", "tune"} <= {
        kernel.candidate.operator for kernel in kernels
    }
    assert (directory / "champion.py").exists()


def test_the_same_seed_is_the_same_run_and_another_is_not(experiment: Path) -> None:
    one, two, other = (
        run(experiment, name, "--set", f"search.seed={seed}")[0]
        for name, seed in (("one", 3), ("two", 3), ("other", 4))
    )
    assert lineage(one) == lineage(two)
    assert lineage(one) != lineage(other)


def test_a_run_goes_on_and_is_grown_again(experiment: Path) -> None:
    whole, _ = run(experiment, "whole", "--set", "search.remeasure=1")
    parts, _ = run(
        experiment, "parts", "--set", "search.remeasure=1", "--set", "budget.evaluations=7"
    )
    run(experiment, "parts", "--set", "search.remeasure=1", "--resume")
    assert lineage(parts) == lineage(whole)
    status, out, _ = evo(
        "--replay",
        str(whole),
        str(experiment),
        "--dir",
        str(whole) + "-again",
        "--set",
        "search.remeasure=1",
        cwd=experiment.parent,
    )
    assert status == 0
    assert "the same lineage" in out


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_searches_a_table(experiment: Path, policy: str) -> None:
    directory, _ = run(experiment, policy, "--set", f"search.policy={policy}")
    kernels = lineage(directory)
    assert len(kernels) > 5
    outside = [k for k in kernels if k.evaluation.outcome is Outcome.REJECTED]
    assert all("not measured" in k.evaluation.diagnostics for k in outside)


def test_neither_torch_nor_a_compiler_is_needed(experiment: Path) -> None:
    code = (
        "import sys; from evo.run import main; status = main(sys.argv[1:]);"
        "loaded = {'torch', 'tree_sitter', 'libcst', 'triton'} & set(sys.modules);"
        "print(loaded); sys.exit(status or bool(loaded))"
    )
    command = [sys.executable, "-c", code, str(experiment), "--dir", str(experiment.parent / "run")]
    done = subprocess.run(
        command, cwd=ROOT, env={"PATH": "/nowhere"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_table_decides_device_seed_and_operators(experiment: Path) -> None:
    config = load_config(experiment)
    device = device_of(config)
    assert device == "cpu"
    check_experiment(config, device)
    assert [seed.source for seed in seed_candidates(config, device)] == [source(())]
    operators, weights = weighted_operators(config, device)
    assert list(operators) == [
        "cpp_halo_pad", "cpp_explicit_vectors", "cpp_pack", "undo", "merge", "tune",
    ]  # fmt: skip
    assert set(weights) == set(operators)
    named = load_config(experiment, ["operators.weights.undo=0"])
    assert "undo" not in weighted_operators(named, device)[0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[seeds]\ncpp = "problem.py"\n', "seed of its own"),
        ('[[models]]\nname = "m"\nprovider = "exchange"\n', "in no table"),
        ('[target]\ndevice = "cuda"\n', "measured on cpu"),
    ],
)
def test_what_no_table_can_give_is_refused(experiment: Path, more: str, said: str) -> None:
    experiment.write_text(MINIMAL + more)
    with pytest.raises(ConfigError, match=said):
        device_of(load_config(experiment))


def test_a_missing_table_is_named(experiment: Path) -> None:
    (experiment.parent / "tiny.npz").unlink()
    status, _, err = evo(str(experiment), cwd=experiment.parent)
    assert status == 2
    assert "tiny.npz" in err


def test_what_is_in_the_table_tells_experiments_apart(experiment: Path) -> None:
    config = load_config(experiment)
    before = config.fingerprint()
    again = experiment.parent / "again.toml"
    again.write_text(config.text)
    assert load_config(again).fingerprint() == before
    table = experiment.parent / "tiny.npz"
    table.write_bytes(table.read_bytes() + b" ")
    assert load_config(experiment).fingerprint() != before


def test_nothing_goes_into_the_library(experiment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = experiment.parent / "library"
    monkeypatch.setenv("EVO_LIBRARY_DIR", str(folder))
    run(experiment, "run")
    assert not folder.exists()


def test_check_says_what_would_be_searched(experiment: Path) -> None:
    status, out, err = evo(str(experiment), cwd=experiment.parent, module="evo.check")
    assert (status, err) == (0, "")
    assert "tiny: 20 points of 5 variants" in out
    assert "nothing is run" in out
    assert out.endswith("ready\n")
