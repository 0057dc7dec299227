"""What is told of a run whose settings are not the experiment's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from evo.apart import settings_of_before, why_apart
from evo.config import load_config
from populations.store import Store
from tests.evo.test_cli import TOML


def told(folder: Path, begun: Sequence[str], now: Sequence[str], without: str = "") -> str:
    """Of a run begun with some overrides, by a version that did not know the key `without`."""
    then = load_config(TOML, begun)
    lines = [t for t in then.text.splitlines() if not without or not t.startswith(f"{without} =")]
    text = "\n".join(lines)
    with Store.create(folder, experiment=text, fingerprint=then.fingerprint()) as store:
        return why_apart(load_config(TOML, now), store)


def test_the_same_experiment_is_not_apart(tmp_path: Path) -> None:
    assert told(tmp_path, [], ["budget.evaluations=7"]) == ""


@pytest.mark.parametrize(
    ("begun", "now"),
    [
        (["search.seed=2"], ["search.seed=3"]),
        (["search.policy=beam", "search.beam.width=3"], ["search.seed=4"]),
        (['sandbox.require=["seccomp"]'], []),
    ],
)
def test_the_run_goes_on_with_what_is_named(
    tmp_path: Path, begun: list[str], now: list[str]
) -> None:
    why = told(tmp_path, begun, now)
    assert why.startswith("it goes on with --set '")
    named = [part.removesuffix("'").rstrip("' ") for part in why.split("--set '")[1:]]
    with Store.open(tmp_path) as store:
        assert why_apart(load_config(TOML, [*now, *named]), store) == ""


def test_a_key_of_a_later_version_is_given_what_it_was_without(tmp_path: Path) -> None:
    why = told(tmp_path, ["search.screening=0"], [], without="screening")
    assert why == "it goes on with --set 'search.screening=0'"


def test_another_problem_is_no_setting(tmp_path: Path) -> None:
    other = tmp_path / "scale.py"
    text = (TOML.parent / "scale.py").read_text(encoding="utf-8")
    other.write_text(f"{text}# another\n", encoding="utf-8")
    assert told(tmp_path, [], [f"problem.path={other}"]).startswith("its problem, a seed or")


def test_many_settings_are_counted(tmp_path: Path) -> None:
    now = [f"evaluation.{key}=99" for key in ("seeds", "pairs", "run_limit_s", "processes")]
    assert told(tmp_path, [], [*now, "search.seed=9"]).startswith("5 settings were others, ")


def test_a_run_of_before_is_given_what_keys_it_did_not_know_were(tmp_path: Path) -> None:
    lines = [line for line in load_config(TOML).text.splitlines() if "screening" not in line]
    text = "\n".join(line for line in lines if "drafts" not in line)
    with Store.create(tmp_path, experiment=text, fingerprint="") as store:
        found = settings_of_before(load_config(TOML), store)
    assert found == ("search.screening=0", 'operators.drafts="nobody"')
