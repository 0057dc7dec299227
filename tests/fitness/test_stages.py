"""Where the time of a judgement goes."""

import time

import pytest

from fitness.lease import DeviceLease
from fitness.stages import Stages


@pytest.fixture
def lease(tmp_path):
    found = DeviceLease("cpu", tmp_path)
    yield found
    found.close()


def test_a_stage_within_another_counts_for_itself_alone(lease):
    stages = Stages()
    with stages.stage("check", lease):
        time.sleep(0.02)
        with stages.stage("construct", lease), lease.shared():
            time.sleep(0.05)
    found = stages.seconds()
    assert 0.02 <= found["check"]["wall_s"] < 0.045
    assert found["construct"]["wall_s"] >= 0.05
    assert found["construct"]["device_s"] >= 0.05
    assert found["check"]["device_s"] == pytest.approx(0, abs=1e-3)


def test_a_lease_counts_while_it_is_held_and_stages_add_up(lease):
    stages = Stages()
    with lease.shared():
        for _ in range(2):
            with stages.stage("ask", lease):
                time.sleep(0.02)
    with stages.stage("ask", lease):
        time.sleep(0.02)
    found = stages.seconds()["ask"]
    assert 0.04 <= found["device_s"] < 0.06 <= found["wall_s"]
    assert lease.held_s >= 0.04
    before = lease.held_s
    time.sleep(0.01)
    assert lease.held_s == before


def test_a_stage_that_fails_is_counted_too(lease):
    stages = Stages()

    def fails():
        with stages.stage("time", lease), lease.exclusive():
            time.sleep(0.01)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fails()
    assert stages.seconds()["time"]["device_s"] >= 0.01
    assert lease.held_s == pytest.approx(lease.exclusive_s, abs=1e-3)
