"""Fresh contents for timed calls: what changes, what does not, and who else can repeat it."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fitness.batches import Batches
from fitness.clocks import ClockError
from fitness.contents import CheckedCall
from fitness.correctness import expect, wrong_at
from fitness.exchange import flatten
from fitness.pace import Answer, Way
from fitness.variation import Change, Contents, change_of, factor, look, mix, places

SECRETS = st.integers(0, 2**64 - 1)


@given(SECRETS)
def test_the_factor_is_near_one_and_never_one(secret):
    assert 0.97 <= factor(secret) <= 1.03
    assert factor(secret) != 1.0


@given(SECRETS, st.integers(2, 50))
def test_a_rolled_tensor_holds_its_elements_scaled_and_moved(secret, size):
    source = torch.randn(size)
    contents = Contents({"list": [{"tensor": 0}]}, [[source]], [Change.ROLL])
    contents.refresh(0, secret)
    (found,) = contents.arguments
    scaled = source * factor(secret)
    offsets = [r for r in range(size) if torch.equal(found, torch.roll(scaled, -r))]
    assert offsets
    assert not torch.equal(found, scaled) or size == 1 or torch.unique(source).numel() == 1
    assert not torch.equal(found, source)


def test_every_call_sees_other_contents_and_the_sets_stay_as_they_are():
    sets = [[torch.randn(8, 16), torch.arange(8)], [torch.randn(8, 16), torch.arange(8) + 1]]
    before = [[t.clone() for t in tensors] for tensors in sets]
    tree, _ = flatten(sets[0])
    contents = Contents(tree, sets, [Change.ROLL, Change.KEEP])
    seen = set()
    for number in range(64):
        contents.refresh(number, mix(77, number))
        floats, integers = contents.arguments
        seen.add(floats.numpy().tobytes())
        assert torch.equal(integers, sets[number % 2][1])
    assert len(seen) == 64
    assert all(
        torch.equal(a, b)
        for x, y in zip(sets, before, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_two_sides_make_the_same_contents():
    source = torch.randn(4, 33).half()
    one, two = (
        Contents({"list": [{"tensor": 0}]}, [[source.clone()]], [Change.ROLL]) for _ in range(2)
    )
    one.refresh(0, 1234567)
    two.refresh(5, 1234567)
    assert torch.equal(one.arguments[0], two.arguments[0])


def test_strides_survive():
    source = torch.randn(4, 6).t()
    contents = Contents({"list": [{"tensor": 0}]}, [[source]], [Change.ROLL])
    contents.refresh(0, 99)
    assert contents.arguments[0].stride() == source.stride()
    values = sorted((source * factor(99)).flatten().tolist())
    assert sorted(contents.arguments[0].flatten().tolist()) == values


@pytest.mark.parametrize(
    ("tensors", "change"),
    [
        ([torch.randn(10), torch.randn(10)], Change.ROLL),
        ([torch.arange(10)], Change.KEEP),
        ([torch.randint(0, 2, (10,)).float()], Change.KEEP),
        ([torch.randn(10).sort().values], Change.SCALE),
        ([torch.tensor([0.5])], Change.KEEP),
        ([torch.tensor(0.5)], Change.KEEP),
        ([torch.tensor([0.5, float("inf")])], Change.KEEP),
        ([torch.randn(3) > 0], Change.KEEP),
    ],
)
def test_only_what_may_change_changes(tensors, change):
    assert change_of(tensors) is change


@given(SECRETS, st.lists(st.integers(0, 10_000), max_size=8))
def test_places_lie_inside(secret, sizes):
    found = places(secret, sizes)
    assert [bool(at) for at in found] == [bool(size) for size in sizes]
    assert all(0 <= p < size for at, size in zip(found, sizes, strict=True) for p in at)
    assert found == places(secret, sizes)


def test_a_checked_call_finds_a_wrong_output_and_lets_a_right_one_pass():
    golden = torch.randn(64, 8, dtype=torch.float64)
    native = golden.float()
    checked = CheckedCall(5, [expect(native, golden, exact=False, tolerances={})])
    for sample in range(20):
        seen = [float(v) for values in look([native], sample) for v in values]
        assert checked.fault(sample, seen) == ""
        wrong = [float(v) for values in look([native.roll(1)], sample) for v in values]
        assert "elements seen" in checked.fault(sample, wrong)
        assert "positions" in checked.fault(sample, seen[1:])


def test_special_values_and_integers_must_be_equal():
    native = torch.tensor([1.0, float("inf"), float("nan"), -2.0])
    want = expect(native, native.double(), exact=False, tolerances={})
    assert wrong_at(want, range(4), native.double()) == ""
    assert wrong_at(want, [1], torch.tensor([3.0], dtype=torch.float64))
    assert wrong_at(want, [0], torch.tensor([float("nan")], dtype=torch.float64))
    integers = expect(torch.tensor([1, 2, 3]), None, exact=True, tolerances={})
    assert wrong_at(integers, [0, 2], torch.tensor([1.0, 3.0], dtype=torch.float64)) == ""
    assert wrong_at(integers, [1], torch.tensor([1.0], dtype=torch.float64))


class Recorder:
    """Answers every request, late for as long as launching takes longer than the lead."""

    def __init__(self, launch_ms=0.0, takes_ms=0.0):
        self.takes_ms = takes_ms
        self.now_ms = 0.0
        self.requests = []
        self.looks = 0
        self.launch_ms = launch_ms

    def clock(self):
        return self.now_ms / 1e3

    def __call__(self, request):
        if request.sample:
            assert not request.calls
            self.looks += 1
            return Answer([0.0])
        self.requests.append(request)
        launch_ms = self.launch_ms * request.calls
        self.now_ms += self.takes_ms + max(launch_ms, request.held_ms)
        return Answer([1.0] * request.calls, launch_ms, late=request.held_ms < launch_ms)


class Right:
    secret = 11

    def __init__(self, text=""):
        self.text = text

    def fault(self, sample, seen):
        assert sample, seen
        return self.text


@pytest.mark.parametrize("seed", range(20))
def test_one_of_the_first_batches_is_looked_at(seed):
    asked = Recorder()
    batches = Batches(asked, random.Random(seed), checkpoints=[Right("wrong")])
    faults = []
    for _ in range(12):
        batches.batch(3, 0.0)
        faults.append(batches.fault())
    assert faults.count("wrong") == 1
    assert "wrong" in faults[:5]
    assert asked.looks == 1
    assert [r.secret for r in asked.requests].index(11) == faults.index("wrong")
    assert len({r.secret for r in asked.requests}) == 12
    assert [r.first for r in asked.requests] == [3 * i for i in range(12)]


def test_settling_alone_is_not_looked_at():
    asked = Recorder()
    batches = Batches(asked, random.Random(0), checkpoints=[Right()])
    for _ in range(9):
        batches.batch(0, 1.0)
    assert not asked.looks


def test_a_look_is_taken_when_asked_for_while_there_is_something_to_look_for():
    asked = Recorder()
    batches = Batches(asked, random.Random(3), checkpoints=[Right(), Right("late")])
    for _ in range(7):
        batches.batch(2, 0.0)
    assert asked.looks == 1
    batches.batch(2, 0.0, look=True)
    batches.batch(2, 0.0, look=True)
    assert asked.looks == 2


def test_further_calls_are_looked_at_by_their_share():
    asked = Recorder()
    batches = Batches(asked, random.Random(1), checkpoints=[Right()] * 30, share=0.5)
    for _ in range(40):
        batches.batch(1, 0.0)
    assert 10 <= asked.looks <= 30


def held(asked, **settings):
    return Batches(asked, random.Random(1), device="cuda", clock=asked.clock, **settings)


def test_a_device_is_held_back_for_as_long_as_launching_takes():
    asked = Recorder(launch_ms=0.9)
    batches = held(asked)
    batches.batch(10, 0.0)
    assert [r.held_ms < 9 for r in asked.requests] == [True, False]
    assert len({r.secret for r in asked.requests}) == 2
    # The first try, which was late, and the hold of the second.
    assert batches.set_aside_ms == pytest.approx(9 + asked.requests[-1].held_ms)
    batches.batch(10, 0.0)
    assert len(asked.requests) == 3
    assert batches.set_aside_ms == asked.requests[-1].held_ms


def test_a_call_that_waits_for_the_device_is_not_asked_for_ever():
    asked = Recorder(launch_ms=1e9)
    assert held(asked).batch(2, 0.0) == [1.0, 1.0]
    assert len(asked.requests) == 3
    assert all(r.held_ms <= 50 for r in asked.requests)


def test_tries_that_do_not_count_are_nobodys_work():
    asked = Recorder(launch_ms=1e3, takes_ms=20.0)
    batches = held(asked)
    batches.batch(2, 0.0)
    # All but the last try, and the hold of that.
    assert batches.set_aside_ms == pytest.approx(2 * 2020 + asked.requests[-1].held_ms)


class Late(Recorder):
    """Always late, and waits to see what comes of it."""

    def __call__(self, request):
        return super().__call__(request)._replace(late=True)


@pytest.mark.parametrize("seed", range(10))
def test_whoever_is_late_is_not_told_what_will_be_looked_at(seed):
    asked = Late()
    checkpoints = [Right() for _ in range(5)]
    for number, checkpoint in enumerate(checkpoints):
        checkpoint.secret = 100 + number
    batches = Batches(
        asked, random.Random(seed), device="cuda", clock=asked.clock, checkpoints=checkpoints
    )
    for _ in range(4):
        batches.batch(2, 0.0)
    assert len(asked.requests) == 12
    # Contents never come back, neither the secret nor the sets, and nothing but the order of the
    # tries decides which is looked at.
    assert len({r.secret for r in asked.requests}) == 12
    assert [r.first for r in asked.requests] == [2 * i for i in range(12)]
    assert asked.looks == sum(r.secret < 200 for r in asked.requests) == 1
    assert any(r.secret < 200 for r in asked.requests[:5])


def test_a_wrong_output_of_a_late_try_is_wrong():
    asked = Late()
    batches = held(asked, checkpoints=[Right("wrong")])
    for _ in range(2):
        batches.batch(2, 0.0)
    assert batches.fault() == "wrong"
    assert batches.fault() == ""


@pytest.mark.parametrize("said_ms", [25.0, -1.0, float("nan"), float("inf")])
def test_launching_takes_no_longer_than_the_answer(said_ms):
    asked = Recorder(takes_ms=20.0)
    batches = Batches(
        lambda request: asked(request)._replace(launch_ms=said_ms),
        random.Random(1),
        device="cuda",
        clock=asked.clock,
    )
    with pytest.raises(ClockError, match="launching is said"):
        batches.batch(1, 0.0)


def test_nobody_is_held_back_where_the_judges_clock_is_to_tell():
    asked = Recorder(takes_ms=3.0)
    batches = held(asked, checkpoints=[Right("wrong")])
    found = batches.bare(7)
    assert (found.calls, found.wall_ms, batches.fault()) == (7, pytest.approx(3.0), "wrong")
    batches.bare(7, empty=True)
    assert batches.fault() == ""
    assert [r.held_ms for r in asked.requests] == [0.0, 0.0]
    assert [r.way for r in asked.requests] == [Way.BARE, Way.EMPTY]
    assert asked.looks == 1


def test_a_look_is_left_for_every_batch_without_a_hold():
    asked = Recorder()
    batches = held(asked, checkpoints=[Right()] * 9, share=1.0)
    for _ in range(30):
        batches.batch(2, 0.0)
    before = asked.looks
    for _ in range(3):
        batches.bare(2)
    assert asked.looks == before + 3 == 9


def test_looks_that_are_kept_are_left_until_asked_for():
    asked = Recorder()
    batches = held(asked, checkpoints=[Right()] * 12, share=1.0, kept=9)
    for _ in range(30):
        batches.batch(2, 0.0)
    for _ in range(30):
        batches.bare(1, look=False)
    assert asked.looks == 3
    for _ in range(12):
        batches.bare(1)
    assert asked.looks == 12
