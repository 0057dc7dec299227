"""The table is whole: every row has its kernels, or says for each target why it has none."""

import ast

import pytest

from tests.adversarial.judging import KERNELS, PROBLEMS, kernel
from tests.adversarial.rows import NAMES, ROWS


def test_every_row_of_the_catalogue_is_there():
    assert {row.row for row in ROWS} == set(NAMES)
    assert len(NAMES) == 71


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_a_row_runs_on_each_target_or_says_why_not(row):
    assert {*row.targets, *row.absent} == {"cpu", "cuda"}
    assert not {*row.targets} & {*row.absent}
    for device in row.targets:
        assert kernel(row, "honest", device), "no honest kernel"
        assert kernel(row, "cheat", device) or row.variant == "segments", "no cheating kernel"
        assert (PROBLEMS / f"{row.problem}.py").is_file()
    assert row.trick.endswith((".", ")"))
    assert row.wins.endswith(".")


def test_every_kernel_belongs_to_a_row():
    expected = {
        kernel(row, kind, device).note
        for row in ROWS
        for kind in ("cheat", "honest")
        for device in row.targets
        if kernel(row, kind, device)
    }
    present = {str(p.relative_to(KERNELS)) for p in KERNELS.rglob("*.py")}
    assert present == expected


@pytest.mark.parametrize("path", sorted(KERNELS.rglob("*.py")), ids=lambda path: path.stem)
def test_a_kernel_says_what_it_does_and_runs_as_it_stands(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree).endswith(".")
    assert any(isinstance(n, ast.ClassDef) and n.name == "ModelNew" for n in tree.body)


def test_a_cheating_and_an_honest_kernel_differ():
    for row in ROWS:
        for device in row.targets:
            cheat, honest = kernel(row, "cheat", device), kernel(row, "honest", device)
            assert cheat is None or cheat.source != honest.source, row.key
