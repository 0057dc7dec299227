"""How much of the error allowed is used up, and whether a change is followed."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fitness.correctness import compare_values, expect
from fitness.exchange import TensorSpec
from fitness.strain import golden_of, response_fault, strain, strain_of_equals, summands
from populations.outcome import Outcome


def expected(golden, dtype=torch.float32, tolerances=None, *, exact=False):
    return expect(golden.to(dtype), golden, exact=exact, tolerances=tolerances or {})


@given(
    seed=st.integers(0, 2**32),
    error=st.floats(0, 1e-3),
    scale=st.floats(1e-20, 1e20),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64]),
    tolerant=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_strain_agrees_with_the_verdict(seed, error, scale, dtype, tolerant):
    generator = torch.Generator().manual_seed(seed)
    if dtype is torch.float16:
        scale = min(max(scale, 1e-2), 1e2)
    golden = torch.randn(7, 31, generator=generator, dtype=torch.float64) * scale
    noise = torch.randn(7, 31, generator=generator, dtype=torch.float64)
    want = expected(golden, dtype, {"*": (1e-4 * scale, 1e-4)} if tolerant else None)
    output = (golden * (1 + error * noise)).to(dtype)
    right = compare_values([want], [output]).outcome is Outcome.PASSED
    assert right == (strain(want, output) <= 1)


@given(seed=st.integers(0, 2**32), factor=st.floats(1e-12, 1e12))
@settings(max_examples=50, deadline=None)
def test_strain_does_not_depend_on_the_unit(seed, factor):
    generator = torch.Generator().manual_seed(seed)
    factor = 2.0 ** round(math.log2(factor))
    golden = torch.randn(64, generator=generator, dtype=torch.float64)
    output = (golden * (1 + 1e-6)).float()
    one, other = expected(golden), expected(golden * factor)
    assert strain(one, output) == pytest.approx(strain(other, output * factor))


def test_special_places_and_exact_outputs():
    golden = torch.tensor([1.0, float("nan"), float("inf")], dtype=torch.float64)
    want = expected(golden)
    assert strain(want, golden.float()) <= 1
    assert strain(want, torch.tensor([1.0, 0.0, float("inf")])) == math.inf
    assert strain(want, torch.tensor([float("nan"), float("nan"), float("inf")])) == math.inf
    whole = expect(torch.arange(3), None, exact=False, tolerances={})
    assert strain(whole, torch.arange(3)) == 0
    assert strain(whole, torch.tensor([0, 1, 1])) == math.inf
    assert strain(expected(torch.zeros(4).double()), torch.zeros(4)) == 0
    assert strain(expected(torch.zeros(4).double()), torch.full((4,), 1e-30)) > 1000
    assert strain(expected(torch.zeros(0).double()), torch.zeros(0)) == 0


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64, torch.bool, torch.float16])
def test_golden_values_as_an_output(dtype):
    value = torch.randn(3, 4, dtype=torch.complex128) * 3
    value = value.to(dtype) if dtype.is_complex else value.real.to(dtype)
    golden = value.to(torch.complex128) if dtype.is_complex else value.double()
    want = expect(value, golden, exact=False, tolerances={})
    assert torch.equal(golden_of(want), value)


def response(share, size=1.0, tolerance=0.5):
    generator = torch.Generator().manual_seed(1)
    before, change = torch.randn(2, 256, generator=generator, dtype=torch.float64)
    tolerances = {"*": (tolerance, 0.0)}
    first = expected(before, tolerances=tolerances)
    then = expected(before + size * change, tolerances=tolerances)
    outputs = [before.float()], [(before + share * size * change).float()]
    return response_fault([first], [then], *outputs)


def test_a_change_hidden_by_the_tolerance_is_seen():
    assert response(1.0) == ""
    assert response(0.9, size=0.1) == ""
    assert "changes by 0 of" in response(0.0, size=0.01)
    assert response(0.3, size=0.1)
    assert response(2.0, size=0.1)
    assert response(-1.0, size=0.1)
    # What the reference itself cannot resolve says nothing.
    assert response(0.0, size=1e-7) == ""


def added_up(row):
    """One accumulator in float32, one value after the other."""
    return torch.from_numpy(np.cumsum(row.numpy(), dtype=np.float32)[-1:])


def test_equal_numbers_are_rounded_in_one_direction():
    generator = torch.Generator().manual_seed(4)
    row = torch.rand(32768, generator=generator) + 0.5
    for numbers, averages_out in ((row, True), (torch.full_like(row, 0.6065307), False)):
        want = expected(numbers.double().sum(0, keepdim=True))
        assert (strain(want, added_up(numbers)) <= 1) is averages_out
        assert strain_of_equals(want, added_up(numbers), 32768) <= 1
        # What a forgotten summand in a hundred costs stays wrong.
        assert strain_of_equals(want, want.values.float() * 0.99, 32768) > 1
        assert strain_of_equals(want, want.values.float() * math.nan, 32768) == math.inf


@pytest.mark.parametrize(
    ("dtype", "right", "wrong"),
    [
        (torch.float32, 1e-3, 6e-3),
        (torch.float64, 1e-12, 1e-10),
        (torch.float16, 2e-3, 0.03),
        (torch.bfloat16, 8e-3, 0.1),
    ],
)
def test_the_room_for_equal_numbers_is_bounded(dtype, right, wrong):
    golden = torch.linspace(1, 2, 64, dtype=torch.float64)
    want = expected(golden, dtype, {"*": (1e-12, 0.0)})
    assert strain_of_equals(want, (golden * (1 + right)).to(dtype), 1 << 20) <= 1
    assert strain_of_equals(want, (golden * (1 + wrong)).to(dtype), 1 << 20) > 1
    assert strain_of_equals(want, (golden * (1 + wrong)).to(dtype), 1 << 60) > 1
    whole = expect(torch.arange(3), None, exact=False, tolerances={})
    assert strain_of_equals(whole, torch.tensor([0, 1, 1]), 1 << 20) == math.inf


def test_what_one_sum_may_run_over():
    specs = [
        TensorSpec("float32", (8, 3, 50)),
        TensorSpec("int64", (4, 10**6)),
        TensorSpec("float32", ()),
    ]
    assert summands(specs) == 150
    assert summands([TensorSpec("float32", (5000, 2))]) == 5000
    assert summands([TensorSpec("float32", (700,))]) == 700
    assert summands([]) == 1
