"""The thread that begins and ends processes beside a judge."""

import threading
from contextlib import closing

import pytest

from fitness.attendant import Attendant
from fitness.lease import DeviceLease
from populations.errors import WorkerDied


class Fake:
    """A vacancy, or a candidate's process."""

    def __init__(self, failure=None):
        self.ended = threading.Event()
        self.settled = False
        self._failure = failure

    def settle(self):
        if self._failure:
            raise self._failure
        self.settled = True

    def end(self):
        self.ended.set()


@pytest.fixture
def attendant(tmp_path):
    with closing(Attendant(DeviceLease("cpu", tmp_path))) as found:
        yield found


def test_what_was_begun_is_taken_once(attendant):
    made = Fake()
    attendant.begin("kind", lambda: made)
    assert attendant.take("kind") is made
    assert made.settled
    assert attendant.take("kind") is None


def test_what_is_of_another_kind_is_ended(attendant):
    made = Fake()
    attendant.begin("kind", lambda: made)
    assert attendant.take("another") is None
    assert made.ended.is_set()


def test_what_cannot_begin_is_ended_and_not_there(attendant):
    made = Fake(WorkerDied("gone"))
    attendant.begin("kind", lambda: made)
    assert attendant.take("kind") is None
    assert made.ended.is_set()


def test_nothing_is_ended_while_somebody_has_the_device_alone(attendant, tmp_path):
    process = Fake()
    with closing(DeviceLease("cpu", tmp_path)) as other:
        with other.exclusive():
            attendant.end(process)
            assert not process.ended.wait(0.05)
        attendant.rest()
        assert process.ended.is_set()


def test_what_waits_is_ended_at_the_end(tmp_path):
    made = Fake()
    with closing(Attendant(DeviceLease("cpu", tmp_path))) as attendant:
        attendant.begin("kind", lambda: made)
    assert made.ended.is_set()
