"""Reading the driver's samples of how busy a device was."""

import ctypes
from types import SimpleNamespace

import pytest

from fitness.nvml import Nvml, index_of

STAMP_US = 1_700_000_000_000_000


def nvml(percents, *, kind=1, asked=0, given=0):
    """A library that tells these; `asked` is its answer to how many, `given` that to which."""

    def samples(_handle, what, _since, kind_at, count_at, room):
        assert what == 1
        if room is None:
            count_at._obj.value = 120
            return asked
        assert len(room) == 120
        kind_at._obj.value = kind
        count_at._obj.value = len(percents)
        for place, percent in zip(room, percents, strict=False):
            number = percents.index(percent)
            place.stamp_us = STAMP_US + number * 200_000 if percent is not None else 0
            setattr(place.value, {0: "double", 1: "uint", 3: "ulonglong"}[kind], percent or 0)
        return given

    return Nvml(SimpleNamespace(nvmlDeviceGetSamples=samples), ctypes.c_void_p())


@pytest.mark.parametrize("kind", [0, 1, 3])
def test_samples_are_times_and_shares(kind):
    found = nvml([6, 21, 100], kind=kind).utilisation()
    assert [share for _, share in found] == [0.06, 0.21, 1.0]
    assert [at_s - STAMP_US / 1e6 for at_s, _ in found] == pytest.approx([0, 0.2, 0.4], abs=1e-5)


def test_places_without_a_sample_and_impossible_ones_are_left_out():
    assert [share for _, share in nvml([50, None, 101]).utilisation()] == [0.5]


@pytest.mark.parametrize("answers", [{"asked": 3}, {"given": 6}, {"asked": 999}])
def test_a_driver_that_refuses_tells_nothing(answers):
    assert nvml([50], **answers).utilisation() == []


def test_a_library_without_samples_tells_nothing():
    assert Nvml(SimpleNamespace(), ctypes.c_void_p()).utilisation() == []


def test_a_device_has_a_number():
    assert [index_of(name) for name in ("cuda", "cuda:3")] == [0, 3]
