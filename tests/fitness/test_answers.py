"""Outputs are read as they are, whatever objects they come in."""

import pytest
import torch

from fitness.answers import Traits, outputs_of, same, traits_of, write
from fitness.interview import compare_traits
from populations.outcome import Outcome


class Lazy(torch.Tensor):
    pass


@pytest.mark.parametrize(
    ("tensor", "overlapping"),
    [
        (torch.zeros(3, 4), False),
        (torch.zeros(3, 4).t(), False),
        (torch.zeros(3, 8)[:, :4], False),
        (torch.zeros(6, 4)[::2], False),
        (torch.zeros(()), False),
        (torch.zeros(0, 4).expand(0, 4), False),
        (torch.zeros(1, 4).expand(1, 4), False),
        (torch.zeros(2, 3, 4).permute(2, 0, 1), False),
        (torch.zeros(1, 4).expand(3, 4), True),
        (torch.zeros(()).expand(2), True),
        (torch.zeros(8).as_strided((3, 4), (1, 1)), True),
        (torch.zeros(8).unfold(0, 4, 2), True),
    ],
)
def test_overlap(tensor, overlapping):
    assert traits_of(tensor) == Traits("cpu", overlapping)


def test_what_is_left_to_the_reader():
    assert traits_of(torch.ones(2, dtype=torch.complex64).conj()).pending
    assert traits_of(torch._neg_view(torch.ones(2))).pending
    assert not traits_of(torch.ones(2, dtype=torch.complex64).conj().resolve_conj()).pending


def test_plain_tensors_alone():
    own = torch.zeros(2)
    own.detach = lambda: torch.ones(2)
    marked = torch.zeros(2)
    marked.made_by = "nobody"
    for value, said in (
        (torch.zeros(2).as_subclass(Lazy), "Lazy"),
        (own, "its own detach"),
        (torch.zeros(2).to_sparse(), "layout"),
        (object(), "object"),
    ):
        with pytest.raises(TypeError, match=said):
            outputs_of([value])
    assert len(outputs_of((torch.zeros(2), torch.nn.Parameter(torch.zeros(2)), marked))[1]) == 3


def test_methods_replaced_later_are_not_used(monkeypatch):
    target = torch.zeros(2)
    monkeypatch.setattr(torch.Tensor, "copy_", lambda *_: target)
    monkeypatch.setattr(torch, "equal", lambda *_: True)
    write([target], [torch.ones(2)])
    assert target.tolist() == [1.0, 1.0]
    assert not same(target, torch.zeros(2))


def test_same_counts_bytes():
    nan = torch.tensor([float("nan"), 0.0])
    assert same(nan, nan.clone())
    assert not same(torch.tensor([0.0]), torch.tensor([-0.0]))
    z = torch.randn(3, dtype=torch.complex64)
    assert same(z.conj().resolve_conj(), z.conj())
    assert same(torch.zeros(4, 3).contiguous(), torch.zeros(3, 4).t())


PLAIN = Traits("cuda")


@pytest.mark.parametrize(
    ("want", "got", "outcome"),
    [
        (PLAIN, ["cuda", False, False], None),
        (PLAIN, ["cpu", False, False], Outcome.WRONG_DTYPE),
        (PLAIN, ["cuda", True, False], Outcome.WRONG_SHAPE),
        (PLAIN, ["cuda", False, True], Outcome.WRONG_VALUES),
        (Traits("cuda", overlapping=True, pending=True), ["cuda", True, True], None),
        (Traits("cuda", overlapping=True, pending=True), ["cuda", False, False], None),
        (PLAIN, ["cuda"], Outcome.WRONG_DTYPE),
        (PLAIN, 3, Outcome.WRONG_DTYPE),
    ],
)
def test_traits_are_held_against_the_references(want, got, outcome):
    verdict = compare_traits([want], [got])
    assert (verdict and verdict.outcome) is outcome


def test_every_output_must_be_described():
    for given in (None, [], [["cuda", False, False]] * 2, {"a": 1}):
        assert compare_traits([PLAIN], given).outcome is Outcome.WRONG_SHAPE


def test_traits_travel_as_json():
    for traits in (PLAIN, Traits("cpu", overlapping=True), Traits("cpu", pending=True)):
        assert Traits.from_json(traits.to_json()) == traits
