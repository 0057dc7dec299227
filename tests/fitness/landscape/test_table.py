"""The table's file, and what can be looked up in it."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import pytest

from fitness.landscape.table import load
from populations.errors import ConfigError
from populations.outcome import Outcome
from tests.fitness.landscape.tiny import BEST, VARIANTS, source, tiny, write

GOLDEN = Path(__file__).parent / "tiny.npz"
SHIPPED = sorted((Path(__file__).parents[3] / "experiments/landscapes").glob("*.npz"))


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a.npz"), write(tmp_path / "b.npz")
    assert one.read_bytes() == two.read_bytes()


def test_a_table_written_by_an_earlier_version_is_read(tmp_path: Path) -> None:
    ours, golden = tiny(tmp_path), load(GOLDEN)
    assert golden.about == ours.about
    for name, array in golden.arrays.items():
        assert array.tobytes() == ours.arrays[name].tobytes(), name


def test_rows_and_sources_are_each_others_inverse(tmp_path: Path) -> None:
    table = tiny(tmp_path)
    assert len(table) == 3 * 3 + 2 * 6 - 1
    for row in range(len(table)):
        assert table.row(table.source(row)) == row
        assert table.variant_of(table.source(row)) == table.arrays["variant"][row]
    assert len({table.source(row) for row in range(len(table))}) == len(table)


def test_what_was_not_measured_has_no_row(tmp_path: Path) -> None:
    table = tiny(tmp_path)
    assert table.row(source(BEST, 1, 4)) is None
    assert table.variant_of(source(BEST, 1, 4)) == len(VARIANTS) - 1
    assert table.row("x = 1\n") is None
    assert table.variant_of("x = 1\n") is None


def test_the_best_point_and_the_seed(tmp_path: Path) -> None:
    table = tiny(tmp_path)
    assert table.source(table.best) == source(BEST, 4, 8)
    assert table.source(table.seed) == source(())
    true = table.true_log_speedup
    failed = [r for r in range(len(table)) if table.outcome(r) is not Outcome.PASSED]
    assert [table.text(row) for row in failed] == [
        "3 of 8 elements differ",
        "error: no such instruction",
    ]
    assert all(true[row] == -math.inf for row in failed)
    assert true[table.best] == pytest.approx(1.2, abs=0.03)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "text.npz")


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_shipped_tables_are_whole(path: Path) -> None:
    table = load(path)
    assert table.name == path.stem or path.stem.startswith(table.name)
    assert len(table) >= 500
    assert table.outcome(table.seed) is Outcome.PASSED
    assert table.true_log_speedup[table.best] > table.true_log_speedup[table.seed]
    provenance = table.about["provenance"]
    assert {"date", "command", "machine", "problem_digest"} <= provenance.keys()
    problem = Path(__file__).parents[3] / "experiments/problems" / provenance["problem"]
    digest = hashlib.sha256(problem.read_bytes()).hexdigest()[:16]
    assert digest == provenance["problem_digest"]
    for row in range(0, len(table), 37):
        assert table.row(table.source(row)) == row
