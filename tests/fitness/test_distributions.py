"""Distributions change what may be changed, and keep what carries a meaning."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fitness.correctness import expect
from fitness.distributions import ALL, AMPLITUDES, HALF_AMPLITUDES, MIXED, Kind, kind_of
from fitness.strain import strain

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
shapes = st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple)


def drawn(shape, seed, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def applied(distribution, tensors, seed, *, mild=False):
    return distribution.apply(tensors, [kind_of(t) for t in tensors], seed, mild=mild)


@pytest.mark.parametrize("distribution", ALL, ids=lambda d: d.name)
@given(shape=shapes, seed=st.integers(0, 2**62), dtype=st.sampled_from(DTYPES))
@settings(max_examples=25, deadline=None)
def test_a_change_keeps_the_tensor_and_repeats(distribution, shape, seed, dtype):
    x = drawn(shape, seed, dtype)
    before = x.clone()
    first, again = (applied(distribution, [x], seed) for _ in range(2))
    assert torch.equal(x, before)
    if first is None:
        assert kind_of(x) is not Kind.FREE
        return
    (new,) = first
    assert (new.shape, new.dtype, new.stride()) == (x.shape, x.dtype, x.stride())
    assert bool(torch.isfinite(new).all())
    assert torch.equal(new, again[0])


@pytest.mark.parametrize("distribution", ALL, ids=lambda d: d.name)
def test_what_is_changed(distribution):
    x = drawn((64, 48), 3)
    (new,) = applied(distribution, [x], 3)
    assert not torch.equal(x, new)
    marks = {
        "shifted": lambda: new.mean().abs() > 3 * new.std(),
        "constant rows": lambda: (new == new[:, :1]).all(1).sum() == 32,
        "one-hot rows": lambda: ((new != 0).sum(1) == 1).sum() == 32,
        "alternating signs": lambda: bool((new.flatten()[1::2] < 0).all()),
        "sorted": lambda: bool((new.diff(dim=-1) >= 0).all()),
        "ties": lambda: new.unique().numel() < 30,
        "zeros": lambda: (new == 0).all(1).sum() == 32 and (new == 0).sum() > 32 * 48,
        "denormal numbers": lambda: (new.abs() < 1.2e-38).sum() > 600,
        "largest numbers": lambda: 100 <= (new.abs() > 3e32).sum() <= 384,
        "large suffix": lambda: torch.equal(new[:32], x[:32]) and new[32:].std() > 20,
        "mixed": lambda: torch.equal(new[:16], x[:16]) and new[16:].std() > new[:16].std(),
        "spikes": lambda: 1 <= ((new / x - AMPLITUDES[0]).abs() < 1e-3).sum() <= 31,
    }
    assert marks.get(distribution.name, lambda: True)()


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (torch.randn(5, 9), Kind.FREE),
        (torch.rand(1), Kind.FREE),
        (torch.ones(4, 4), Kind.FIXED),
        (torch.randint(0, 9, (4, 4)).float(), Kind.FIXED),
        (torch.arange(5), Kind.FIXED),
        (torch.tensor([0.5, float("-inf")]), Kind.FIXED),
        (torch.randn(6, 11).softmax(-1), Kind.FIXED),
        (torch.randn(0, 4), Kind.FIXED),
        (torch.randn(9, 9).triu(), Kind.SCALE),
        (torch.randn(9, 9).relu(), Kind.SCALE),
        (torch.randn(20).sort().values, Kind.SCALE),
        (torch.cov(torch.randn(12, 40)), Kind.SCALE),
    ],
)
def test_what_carries_a_meaning_is_kept(tensor, kind):
    assert kind_of(tensor) is kind
    for distribution in ALL:
        changed = applied(distribution, [tensor], 1)
        if kind is Kind.FIXED or (kind is Kind.SCALE and distribution.factor == 1):
            assert changed is None
        elif kind is Kind.SCALE:
            assert torch.equal(changed[0], tensor * distribution.factor)


def test_the_layout_is_part_of_the_inputs():
    x = drawn((6, 8), 1).t()
    for distribution in ALL:
        (new,) = applied(distribution, [x], 1)
        assert new.stride() == x.stride()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["mixed", "spikes", "large suffix", "rows of different amplitude"])
@given(seed=st.integers(0, 2**62))
@settings(max_examples=10, deadline=None)
def test_small_values_count_beside_large_ones(name, dtype, seed):
    """Zeros in place of the ordinary part of an output break the rule in every dtype."""
    (distribution,) = [d for d in ALL if d.name == name]
    (x,) = applied(distribution, [drawn((48, 64), seed, dtype)], seed)
    weight = drawn((64, 32), seed + 1, dtype)
    golden = x.double() @ weight.double()
    want = expect(golden.to(dtype), golden, exact=False, tolerances={})
    assert strain(want, golden.to(dtype)) <= 1
    ordinary = golden.abs() < golden.abs().median()
    partly = torch.where(ordinary, torch.zeros_like(golden), golden).to(dtype)
    assert strain(want, partly) > 1
    assert strain(want, torch.zeros_like(partly)) > 1


def test_a_smaller_amplitude_for_sharp_functions():
    x = drawn((64, 64), 5)
    strong, mild = (applied(MIXED, [x], 5, mild=m)[0].abs().max() for m in (False, True))
    assert mild < strong
    half = applied(MIXED, [x.half()], 5)[0].abs().max()
    assert half < strong
    assert HALF_AMPLITUDES[0] < AMPLITUDES[0]
