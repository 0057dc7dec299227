"""What a batch on a device consists of, with a device that only takes notes."""

from types import SimpleNamespace

import pytest
import torch

from fitness import bench
from fitness.bench import Stopwatch, Timed
from fitness.exchange import TensorSpec, flatten
from fitness.pace import Request, Way
from fitness.variation import Change, Contents


class Event:
    def __init__(self, *, enable_timing):
        assert enable_timing

    def record(self):
        pass

    def query(self):
        return True

    def elapsed_time(self, _):
        return 0.5


@pytest.fixture
def done(monkeypatch):
    """What was done, in order: cycles of idling, calls, flushes."""
    found = []
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _: SimpleNamespace(L2_cache_size=0)
    )
    monkeypatch.setattr(bench, "FLUSH_BYTES", 8)
    monkeypatch.setattr(bench, "_end_persistence", lambda: None)
    monkeypatch.setattr(bench, "_cycles_per_ms", lambda: 100.0)
    monkeypatch.setattr(bench, "_idle", found.append)
    zero = torch.Tensor.zero_
    monkeypatch.setattr(torch.Tensor, "zero_", lambda t: (found.append("flush"), zero(t))[1])
    return found


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (Way.TIMED, [200, "flush", "call", "flush", "call"]),
        (Way.BARE, [0, "call", "call"]),
        (Way.EMPTY, [0]),
    ],
)
def test_a_batch_does_what_it_is_asked(done, way, expected):
    tree, tensors = flatten([torch.randn(8)])
    contents = Contents(tree, [tensors], [Change.ROLL])
    (given,) = contents.arguments

    def call():
        done.append("call")
        return given + 1

    timed = Timed(call, contents, (TensorSpec("float32", (8,)),))
    watch = Stopwatch("cpu")
    held_ms = 2.0 if way == Way.TIMED else 0.0
    answer = watch._cuda_batch(timed, Request(0, 2, held_ms=held_ms, secret=5, way=way))
    assert done == expected
    assert answer.times_ms == [0.5, 0.5]
    # As large as what a call leaves, so that copying it takes as long.
    (left,) = watch._left
    assert left.nbytes == 32
