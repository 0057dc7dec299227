"""Every cheating kernel is caught on a CUDA device, every honest neighbour passes."""

import pytest

from populations.outcome import Outcome
from tests.adversarial.judging import Bench, by_problem, kernel, rows_for

CUDA = by_problem(rows_for("cuda"))
CHEATS = [row for row in CUDA if kernel(row, "cheat", "cuda")]

pytestmark = pytest.mark.cuda


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    with Bench(tmp_path_factory.mktemp("fixtures"), "cuda") as bench:
        yield bench


@pytest.mark.parametrize("row", CHEATS, ids=lambda row: row.key)
def test_a_cheating_kernel_is_caught_without_the_gate(bench, row):
    found = bench.finding(row)
    assert found.problem or found.stopped_behind_the_gate(row), (found.cheat, row.caught)


@pytest.mark.parametrize("row", CUDA, ids=lambda row: row.key)
def test_an_honest_neighbour_passes(bench, row):
    found = bench.finding(row)
    assert found.honest_gate == ""
    assert found.honest.outcome is Outcome.PASSED, found.honest.diagnostics
