"""Where an output is wrong and how: the mistakes that kernels are made with are named."""

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fitness.diagnostics.places import first_places, places
from fitness.diagnostics.relations import relations
from fitness.mismatch import describe_mismatch


def where(shape, *spots):
    mask = torch.zeros(shape, dtype=torch.bool)
    for spot in spots:
        mask[spot] = True
    return "; ".join(places(mask))


ALL = slice(None)


@pytest.mark.parametrize(
    ("shape", "spots", "said"),
    [
        ((4, 130), [(ALL, slice(128, None))], "the tail: behind the last whole tile of 128"),
        ((4, 130), [(ALL, slice(121, None))], "indices 121 to 129, the tail"),
        ((4, 256), [(ALL, slice(63, None, 64))], "the last of each tile of 64"),
        ((4, 256), [(ALL, slice(0, None, 32))], "the first of each tile of 32"),
        (
            (256, 8),
            [(slice(62, None, 64),), (slice(63, None, 64),)],
            "62 to 63 of every 64 indices, the last of each tile of 64",
        ),
        ((2, 8, 16), [(ALL, 3)], "along dimension 1 (extent 8) only index 3"),
        ((2, 8, 16), [(ALL, 7)], "only index 7 (the last)"),
        ((4, 9), [(ALL, slice(1, None, 3))], "every 3th index from 1 on"),
        ((4, 64, 64), [(2, slice(32, 64), slice(0, 32))], "exactly the block [2, 32:64, 0:32]"),
        ((8, 100), [(7, slice(63, None))], "exactly the block [7, 63:100]"),
        ((7, 11), [(6,), (5, slice(4, None))], "one run in memory: elements 59 to 76, the last"),
        ((2, 9, 9), [torch.ones(9, 9).triu(1).bool().expand(2, 9, 9)], "only above the diagonal"),
        ((16,), [slice(13, None)], "indices 13 to 15, the tail"),
        ((8, 90), [(7, [70, 71, 73, 74, 89])], "5 indices between 70 and 89, up to the end"),
        ((8, 90), [(7, [70, 71, 73, 74, 79, 82, 89])], "7 elements within one run in memory"),
        ((64, 63), [torch.arange(64 * 63).view(64, 63) % 7 == 2], "only every 7th index from 2"),
        ((64, 63), [torch.arange(64 * 63).view(64, 63) % 5 == 2], "every 5th element in memory"),
    ],
)
def test_places(shape, spots, said):
    assert said in where(shape, *spots)


def test_nothing_is_said_of_what_has_no_pattern():
    generator = torch.Generator().manual_seed(1)
    assert places(torch.rand(64, 64, generator=generator) < 0.3) == []
    assert places(torch.ones(3, 3, dtype=torch.bool)) == []
    assert places(torch.zeros(3, 3, dtype=torch.bool)) == []


def test_most_mistakes_at_an_edge_are_seen_among_others():
    mask = torch.zeros(64, 128, dtype=torch.bool)
    mask[:, 31::32] = True
    mask[5] = True
    assert "mostly every 32th index from 31 on, the last of each tile" in "; ".join(places(mask))


def test_the_first_positions_of_many():
    mask = torch.ones(3, 1 << 21, dtype=torch.bool)
    mask[0] = False
    assert first_places(mask, 2) == [[1, 0], [1, 1]]


def said(want, got, mask=None):
    mask = ~torch.isclose(want, got, rtol=1e-5, atol=1e-5) if mask is None else mask
    return "; ".join(relations(mask, want.double().flatten(), got.flatten()))


@pytest.fixture
def want():
    return torch.randn(4, 8, 32, generator=torch.Generator().manual_seed(3)) + 0.5


def broken(want, spot, value):
    out = want.clone()
    out[spot] = value
    return out


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda w: w / 8, "0.125 (1/8) times"),
        (lambda w: w * 8, "8 times the right"),
        (lambda w: -w, "-1 times"),
        (lambda w: w / 24**0.5, "(1/sqrt(24)) times"),
        (lambda w: w + 0.25, "the right value + 0.25"),
        (lambda w: w - 2, "the right value - 2"),
        (lambda w: 3 * w + 1, "3 times the right value + 1"),
        (lambda w: w * 0, "all wrong elements are zero"),
        (lambda w: broken(w, (ALL, 3), 0), "all wrong elements are zero"),
        (lambda w: broken(w, (ALL, 3), 7), "the same value, 7"),
        (lambda w: w + torch.arange(8.0)[None, :, None], "one constant for each index of dimen"),
        (lambda w: w * (2 + torch.arange(4.0))[:, None, None], "one factor for each index of dim"),
        (lambda w: w.transpose(1, 2).reshape(w.shape), "dimensions 1 and 2 transposed"),
        (lambda w: w.flip(2), "in reverse order along dimension 2"),
        (lambda w: w.roll(1, 2), "moved by 1 to higher indices along dimension 2"),
        (lambda w: w.roll(-2, 1), "moved by 2 to lower indices along dimension 1"),
        (lambda w: w[:1].expand(4, 8, 32).clone(), "the same at all 4 indices of dimension 0"),
        (lambda w: w.bfloat16().float(), "what bfloat16 leaves"),
        (lambda w: w.half().float(), "what float16 or TF32 leaves"),
        (lambda w: w * float("nan"), "all wrong elements are not a number"),
        (lambda w: broken(w, (3, slice(4, 8)), float("inf")), "all wrong elements are infinite"),
    ],
)
def test_relations(want, change, text):
    assert text in said(want, change(want))


def test_some_that_are_no_numbers_are_placed(want):
    got = broken(want, (ALL, 5), float("nan"))
    got[0, 0] += 1
    told = said(want, got)
    assert "128 wrong elements are not a number (along dimension 1 (extent 8) only index 5" in told
    assert "the right value + 1" in told


def test_noise_has_no_relation(want):
    noise = torch.randn(want.shape, generator=torch.Generator().manual_seed(4))
    assert said(want, noise) == ""
    assert said(want, want + 0.3 * noise) == ""
    # Too few to tell a law from chance.
    assert said(want, broken(want, (0, 0, slice(0, 3)), 2 * want[0, 0, :3])) == ""


def test_integers_and_narrow_floats(want):
    whole = (want * 100).to(torch.int64)
    assert "2 times" in "; ".join(
        relations(whole != 2 * whole, whole.flatten(), 2 * whole.flatten())
    )
    half = want.half()
    assert "0.5 (1/2) times" in said(half.float(), (half / 2).float())
    assert "(1/2) times" in "; ".join(
        relations(torch.ones_like(want).bool(), want.double().flatten(), (half / 2).flatten())
    )
    flags = want > 0
    assert relations(flags, flags.flatten(), ~flags.flatten()) == []


def test_a_description_holds_all_of_it(want):
    got = want.clone()
    got[:, :, 30:] /= 2
    text, facts = describe_mismatch(got != want, want.double().flatten(), got.flatten(), 0)
    assert "64 of 1024 elements are wrong (6.25%) of [4, 8, 32]" in text
    assert "at [0, 0, 30]: got" in text
    assert "indices 30 to 31, the tail" in text
    assert "0.5 (1/2) times the right value" in text
    assert facts["wrong_elements"] == 64
    assert facts["first_wrong"][0] == [0, 0, 30]
    assert facts["relation"] == ["every wrong element is 0.5 (1/2) times the right value"]
    assert len(text.splitlines()) < 12


def test_complex_outputs_and_numbers_without_dimensions():
    z = torch.randn(4, 4, dtype=torch.complex64)
    flat = torch.view_as_real(z).flatten()
    text, _ = describe_mismatch(torch.ones(4, 4, dtype=torch.bool), flat, flat + 1, 2)
    assert text.startswith("output 2: 16 of 16 elements are wrong")
    one = torch.tensor(True)
    text, _ = describe_mismatch(one, torch.tensor([1.0]), torch.tensor([2.0]), 0)
    assert "at []: got 2, want 1" in text


def test_a_lack_of_memory_is_no_fault_of_the_candidate(want, monkeypatch):
    def fails(*_):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr("fitness.mismatch.relations", fails)
    text, _ = describe_mismatch(want < 99, want.flatten(), want.flatten() * 0, 0)
    assert "every element of the output is zero" in text


VALUES = st.sampled_from([0.0, 1.0, -2.5, 1e30, -1e-30, float("nan"), float("inf"), 7.25])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), shape=st.lists(st.integers(1, 6), min_size=0, max_size=4))
def test_never_raises(data, shape):
    count = int(torch.tensor(shape).prod()) if shape else 1
    rows = [data.draw(st.lists(VALUES, min_size=count, max_size=count)) for _ in range(2)]
    kind = data.draw(st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16]))
    bits = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    want, got = torch.tensor(rows[0], dtype=torch.float64), torch.tensor(rows[1]).to(kind)
    mask = torch.tensor(bits).reshape(shape)
    text, facts = describe_mismatch(mask, want, got, 0)
    assert text.startswith("output 0")
    assert facts["wrong_elements"] == sum(bits)


def test_a_large_output_takes_no_long():
    want = torch.randn(64, 1 << 17, dtype=torch.float64)
    got = want.float()
    got[:, 70_000:] *= 2
    mask = torch.zeros(want.shape, dtype=torch.bool)
    mask[:, 70_000:] = True
    start = time.monotonic()
    text, _ = describe_mismatch(mask, want.flatten(), got.flatten(), 0)
    assert "2 times the right value" in text
    assert time.monotonic() - start < 20
