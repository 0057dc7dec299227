"""Recorded runs with models are grown again, from recorded answers and measurements alone."""

import pytest

from populations.store import Store
from tests.evo.test_cli import ROOT, evo

RECORDINGS = sorted(path.parent for path in (ROOT / "experiments/results").glob("*/run.db"))


def test_there_is_one():
    assert RECORDINGS


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.name)
def test_the_same_lineage_without_model_and_device(recording, tmp_path):
    before = (recording / "run.db").read_bytes()
    status, out, err = evo(
        recording,
        recording / "experiment.toml",
        "--dir",
        "again",
        cwd=tmp_path,
        module="evo.replay",
    )
    assert (status, err) == (0, ""), out
    with (
        Store.open(recording, read_only=True) as old,
        Store.open(tmp_path / "again", read_only=True) as new,
    ):
        assert len(old.calls()) >= 15
        assert new.candidates() == old.candidates()
        assert new.rejections() == old.rejections()
        # The questions may have changed since; what was answered has not.
        asked = [(call.proposal, call.turn, call.answer) for call in old.calls()]
        assert [(call.proposal, call.turn, call.answer) for call in new.calls()] == asked
    assert (recording / "run.db").read_bytes() == before
