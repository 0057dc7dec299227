"""Variants are made of one draw of a problem's inputs."""

import pytest
import torch

from fitness import given as module
from fitness.distributions import ALL, Kind
from fitness.given import Given
from fitness.problem import Problem
from fitness.variants import Drawn, OneRow

TEXT = """
import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x, mask):
        return x * mask


def get_inputs():
    with open(DRAWN, "a") as file:
        file.write(".")
    return [torch.randn(6, 8), torch.ones(8)]


def get_init_inputs():
    return []
"""
BYTES = 4 * (6 * 8 + 8)


@pytest.fixture
def problem(tmp_path):
    path = tmp_path / "problem.py"
    path.write_text(f"DRAWN = {str(tmp_path / 'drawn')!r}\n{TEXT}")
    return Problem(path)


@pytest.fixture
def looked_at(monkeypatch):
    found = []
    monkeypatch.setattr(module, "kind_of", lambda t: found.append(t) or Kind.FREE)
    return found


@pytest.mark.parametrize(("limit", "times"), [(BYTES, 1), (BYTES - 1, 2)])
def test_what_is_small_enough_is_drawn_and_looked_at_once(
    problem, tmp_path, looked_at, limit, times
):
    given = Given(problem, limit)
    (tmp_path / "drawn").unlink(missing_ok=True)
    first, again = (next(Drawn(d).inputs(given, "default", 3)) for d in ALL[:2])
    assert (tmp_path / "drawn").read_text() == "." * times
    assert len(looked_at) == 2 * times
    fresh = [next(Drawn(d).inputs(Given(problem), "default", 3)) for d in ALL[:2]]
    assert all(map(torch.equal, [*first, *again], [*fresh[0], *fresh[1]]))


def test_a_draw_is_left_as_it_is_and_another_seed_is_another_draw(problem):
    given = Given(problem, BYTES)
    kept = [t.clone() for t in given.inputs("default", 3)]
    variants = [*map(Drawn, ALL), OneRow()]
    for variant in variants:
        assert list(variant.inputs(given, "default", 3))
    assert all(map(torch.equal, kept, given.inputs("default", 3)))
    assert not torch.equal(kept[0], given.inputs("default", 4)[0])
    given.forget()
    assert all(map(torch.equal, kept, given.inputs("default", 3)))


def test_whoever_asks_may_change_the_list(problem):
    given = Given(problem, BYTES)
    given.inputs("default", 3).clear()
    assert len(given.inputs("default", 3)) == 2
