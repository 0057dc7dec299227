"""What a run leaves to later ones, and what it takes from earlier ones."""

from types import SimpleNamespace

import pytest

from evo import run
from evo.config import load_config
from evo.library import (
    COPY,
    copy_for,
    first_champions,
    keep_what_worked,
    knowledge_of,
    library_dir,
)
from operators.knowledge.shelf import Shelf
from populations.errors import ConfigError
from populations.kernel import Kernel
from tests.contracts.samples import failed, kernel, lineage, passed
from tests.evo.test_cli import DATA
from tests.evo.toy import create

TOML = DATA / "models.toml"
BEST = "# the best\n" + (DATA / "scale_cpp.py").read_text()


@pytest.fixture(autouse=True)
def own_library(monkeypatch, tmp_path):
    monkeypatch.setenv("EVO_LIBRARY_DIR", str(tmp_path / "mine"))


@pytest.fixture
def ended(tmp_path):
    """A store with the facts of a run, and its lineage."""
    seed = kernel(0, value=1.0, language="cpp")
    child = kernel(
        1, BEST, 1.5, parents=(0,), operator="rewrite", language="cpp", note="packed the rows"
    )
    with create(tmp_path / "run") as store:
        store.set_meta("facts", {"device": "a processor"})
        store.set_meta("target", "cpu")
        yield store, lineage(seed, child), child


def test_what_worked_is_told_to_the_next_run(ended, tmp_path):
    store, grown, champion = ended
    config = load_config(TOML)
    assert library_dir() == tmp_path / "mine"
    assert keep_what_worked(config, store, grown, champion) == 2
    assert keep_what_worked(config, store, grown, champion) == 0
    next_run = tmp_path / "next"
    copy_for(config, next_run)
    # What is added later is not for a run that has begun.
    Shelf(library_dir()).directory.rename(tmp_path / "elsewhere")
    found = knowledge_of(config, next_run).search("packed rows", filters={}, count=6)
    assert any("packed the rows" in passage.text for passage in found)


def test_a_run_may_leave_and_take_nothing(ended, tmp_path):
    store, grown, champion = ended
    config = load_config(TOML, ["knowledge.library=false"])
    assert keep_what_worked(config, store, grown, champion) == 0
    copy_for(config, tmp_path / "next")
    assert not library_dir().exists()
    assert not (tmp_path / "next" / COPY).exists()
    assert knowledge_of(config, tmp_path / "next").search("memory", filters={}, count=2)


def test_a_run_may_begin_with_earlier_champions(ended, tmp_path):
    store, grown, champion = ended
    keep_what_worked(load_config(TOML), store, grown, champion)
    assert first_champions(load_config(TOML), "a processor", ["cpp"]) == []
    config = load_config(TOML, ["knowledge.first=1"])
    (found,) = first_champions(config, "a processor", ["cpp"])
    assert found.source == BEST
    assert first_champions(config, "a processor", ["triton"]) == []
    for outcome, count in ((passed(1.4), 1), (failed(), 0)):
        pool = SimpleNamespace(
            evaluate_once=lambda _, outcome=outcome: outcome, spec=SimpleNamespace(threads=1)
        )
        request = run.Request(config, tmp_path, False, "cpu")
        added = run._earlier_champions(request, pool, [kernel(0, language="cpp")])
        # One that is not right here is no reason not to begin.
        assert len(added) == count
        assert all(isinstance(one, Kernel) and one.number == 1 for one in added)


def test_directories_of_ones_own_are_read(tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "zebra.md").write_text(
        "---\ntitle: Zebra units\ntopic: guidance\nsources: a manual\n---\nStripe every zebra.\n"
    )
    config = load_config(TOML, [f'knowledge.directories=["{pages}"]'])
    found = knowledge_of(config, tmp_path).search("zebra stripes", filters={}, count=1)
    assert "Stripe every zebra" in found[0].text
    with pytest.raises(ConfigError, match="no such directory"):
        load_config(TOML, ['knowledge.directories=["nowhere"]'])
    (pages / "zebra.md").write_text("no front matter")
    with pytest.raises(ConfigError, match=r"zebra\.md"):
        knowledge_of(config, tmp_path)
