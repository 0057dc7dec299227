"""A candidate answers for its own memory, and not for what others hold."""

import pytest
import torch

from fitness import crowding
from fitness.crowding import crowded, ran_out
from populations.errors import WorkerError

OUT = "raised on workload 'default': OutOfMemoryError: CUDA out of memory. Tried to allocate 20 MiB"


@pytest.fixture(autouse=True)
def short_patience(monkeypatch):
    monkeypatch.setattr(crowding, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(crowding, "_POLL_S", 0.01)


def free(monkeypatch, free_bytes, total_bytes=140 << 30):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free_bytes, total_bytes))


def test_a_full_device_is_not_the_candidates_fault(monkeypatch):
    free(monkeypatch, 100 << 20)
    assert isinstance(crowded("cuda:0", OUT), WorkerError)


def test_memory_that_comes_back_late_was_the_candidates(monkeypatch):
    seen = iter([100 << 20, 100 << 20, 139 << 30])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (next(seen), 140 << 30))
    assert crowded("cuda:0", OUT) is None


def test_an_empty_device_that_does_not_suffice_is(monkeypatch):
    free(monkeypatch, 139 << 30)
    assert crowded("cuda:0", OUT) is None


def test_a_small_device_is_full_later(monkeypatch):
    free(monkeypatch, 1 << 30, total_bytes=8 << 30)
    assert crowded("cuda:0", OUT) is None
    free(monkeypatch, 1 << 29, total_bytes=8 << 30)
    assert crowded("cuda:0", OUT) is not None


def test_other_faults_stay_what_they_are(monkeypatch):
    free(monkeypatch, 0)
    assert crowded("cuda:0", "raised: ValueError: x") is None
    assert crowded("cpu", OUT) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("mat1 and mat2 cannot be multiplied"), False),
    ],
)
def test_lack_of_memory_is_known_by_type_or_by_words(error, expected):
    assert ran_out(error) is expected
